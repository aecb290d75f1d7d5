package cache

import (
	"crypto/sha256"
	"strings"

	"dragoman/translate/chat"
)

// semanticVersion changes when the meaning of Question's fingerprint does.
const semanticVersion = "dragoman-semantic-1"

// Question splits a request into what the semantic tier compares by meaning, the text of the last user message, and the key of
// everything else: requests with another one never meet there, however alike their texts are. ok is false for a request that has no
// such text: the last message must be the user's and one text; unless multiTurn, it must be the only one beside instructions.
func Question(p Partition, r *chat.Request, multiTurn bool) (rest Key, text string, ok bool) {
	last := len(r.Messages) - 1
	if last < 0 {
		return rest, "", false
	}
	m := &r.Messages[last]
	if m.Role != chat.User || len(m.Parts) != 1 || m.Parts[0].Kind != chat.Text || strings.TrimSpace(m.Parts[0].Text) == "" {
		return rest, "", false
	}
	for i := range r.Messages[:last] {
		if role := r.Messages[i].Role; !multiTurn && role != chat.System && role != chat.Developer {
			return rest, "", false
		}
	}
	parts := [1]chat.Part{m.Parts[0]}
	parts[0].Text = ""
	w := writer{h: sha256.New()}
	w.str(semanticVersion)
	w.request(p, r, last, parts[:])
	return w.key(), m.Parts[0].Text, true
}
