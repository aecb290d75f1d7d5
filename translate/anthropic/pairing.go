package anthropic

import (
	"crypto/sha256"
	"encoding/hex"

	"dragoman/translate/chat"
	"dragoman/translate/dialogue"
)

var pairs = dialogue.Pairs{WireID: wireID, Content: resultBlock}

// wireID is id itself when it is what the API takes, ^[a-zA-Z0-9_-]+$, else a name made from it: the same in every
// request, so that the prompt's prefix stays the same (D34, D83).
func wireID(id string) string {
	if id != "" && plainName(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "call_" + hex.EncodeToString(sum[:12])
}

// resultBlock is one part of a result as content of the message itself.
func resultBlock(q *chat.Part, b *dialogue.Block) dialogue.Block {
	return dialogue.Block{Kind: q.Kind, Text: q.Text, Part: q, Message: b.Message, Index: b.Index}
}
