package translate

import (
	"dragoman/internal/fault"
	"dragoman/translate/chat"
)

// WholeOnly is the streaming side of a codec whose operation has no streams (embeddings, rerank, count_tokens): embed it. A
// provider that streams all the same breaks its protocol.
type WholeOnly struct{}

// NewEncoder is never asked to write anything but a fault.
func (WholeOnly) NewEncoder(Answer) Encoder { return noStream{} }

// NewDecoder refuses a stream's first bytes.
func (WholeOnly) NewDecoder(int) Decoder { return noStream{} }

// NewTap refuses a stream's first bytes.
func (WholeOnly) NewTap(int, Answer) Tap { return noTap{} }

type noStream struct{}

func (noStream) Encode(dst []byte, _ *chat.Event) []byte { return dst }
func (noStream) Fault(dst []byte, _ *fault.Fault) []byte { return dst }
func (noStream) Decode([]byte, func(*chat.Event)) error  { return errNoStream() }
func (noStream) Close(func(*chat.Event)) error           { return errNoStream() }

type noTap struct{}

func (noTap) Write(dst, _ []byte) ([]byte, error) { return dst, errNoStream() }
func (noTap) Close(dst []byte) ([]byte, error)    { return dst, errNoStream() }
func (noTap) Seen() *Seen                         { return &Seen{} }

func errNoStream() error {
	return fault.New(fault.ProviderFailed, "The provider streams an answer to an operation that has no streams.")
}
