package cache

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"sync"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
)

// Flights are the answers that are being made in this process, by their keys. Who joins one either leads it, and makes the
// answer, or follows, and is fed as the leader receives. The zero value is not ready: use NewFlights.
type Flights struct{ shards [16]flightShard }

type flightShard struct {
	mu sync.Mutex
	m  map[Key]*Flight
	_  [40]byte // one shard a cache line
}

// NewFlights makes an empty set.
func NewFlights() *Flights {
	f := &Flights{}
	for i := range f.shards {
		f.shards[i].m = map[Key]*Flight{}
	}
	return f
}

func (f *Flights) shard(key Key) *flightShard {
	return &f.shards[binary.LittleEndian.Uint16(key.sum[:])%uint16(len(f.shards))]
}

// Join finds the flight of a key, or begins one that the caller leads. A leader must call Finish or Fail, and Remove, on every
// way it can end; a follower Leave. nil means that the flight has maxFollowers already: the caller is on its own. maxBytes
// bounds what a new flight keeps of its answer.
func (f *Flights) Join(key Key, maxFollowers, maxBytes int) (fl *Flight, leads bool) {
	sh := f.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if fl = sh.m[key]; fl == nil {
		fl = &Flight{flights: f, key: key, left: maxBytes}
		sh.m[key] = fl
		return fl, true
	}
	if !fl.enter(maxFollowers) {
		return nil, false
	}
	return fl, false
}

// Len is the number of flights.
func (f *Flights) Len() (n int) {
	for i := range f.shards {
		sh := &f.shards[i]
		sh.mu.Lock()
		n += len(sh.m)
		sh.mu.Unlock()
	}
	return n
}

// Flight is one answer in the making. The leader writes it, any number of followers read.
type Flight struct {
	flights *Flights
	key     Key

	mu        sync.Mutex
	followers int
	changed   chan struct{} // closed at the next change; nil while nobody waits
	left      int           // bytes that may still be kept
	log       []logged
	text      []byte // of the log's deltas; what is written is never changed
	begun     bool   // content has come
	ended     bool   // the leader is done, or has given up
	failed    bool
	entry     *Entry
	fault     *fault.Fault // of a leader that gave up
}

// logged is one event of a streamed answer. Deltas, which are nearly all, keep no more than where they are in text.
type logged struct {
	kind          chat.EventKind
	choice, index int
	from, to      int
	rest          *chat.Event // of all other events
}

// eventSize is about what a logged event takes beside its text.
const eventSize = 48

func (fl *Flight) enter(maxFollowers int) bool {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.followers >= maxFollowers {
		return false
	}
	fl.followers++
	return true
}

// Leave says that a follower has what it wanted, or wants no more.
func (fl *Flight) Leave() {
	fl.mu.Lock()
	fl.followers--
	fl.mu.Unlock()
}

// Add logs the next event of a streamed answer; Flush shows it to the followers. It keeps nothing of ev. A flight whose
// answer grows too large to keep fails: its followers ask for themselves.
func (fl *Flight) Add(ev *chat.Event) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.ended || ev.Kind == chat.EventPing || ev.Kind == chat.EventError {
		return // an error is told by Fail
	}
	if fl.left -= eventSize + weight(ev); fl.left < 0 {
		fl.failed = true
		fl.end(nil, fault.New(fault.ProviderFailed, "The answer is too large to be shared with an identical request."))
		return
	}
	fl.begun = fl.begun || ev.Content()
	l := logged{kind: ev.Kind, choice: ev.Choice, index: ev.Index}
	if ev.Kind == chat.EventDelta && ev.LogProbs == nil {
		l.from = len(fl.text)
		fl.text = append(fl.text, ev.Text...)
		l.to = len(fl.text)
	} else {
		l.rest = keep(ev)
	}
	fl.log = append(fl.log, l)
}

// weight is about how many bytes of an event are kept beside eventSize.
func weight(ev *chat.Event) int {
	n := len(ev.Text) + len(ev.LogProbs)
	if ev.Kind != chat.EventDelta {
		n += partOverhead + partSize(&ev.Block) + len(ev.ID) + len(ev.Model) + len(ev.RawFinish) + len(ev.StopSequence)
	}
	return n
}

// keep copies an event that its decoder will write to again.
func keep(ev *chat.Event) *chat.Event {
	k := *ev
	for _, s := range [...]*string{&k.Text, &k.ID, &k.Model, &k.RawFinish, &k.StopSequence, &k.Block.Text, &k.Block.Signature} {
		*s = strings.Clone(*s)
	}
	k.LogProbs = bytes.Clone(ev.LogProbs)
	if ev.Block.Call != nil {
		call := *ev.Block.Call
		call.ID, call.Name, call.Arguments = strings.Clone(call.ID), strings.Clone(call.Name), strings.Clone(call.Arguments)
		k.Block.Call = &call
	}
	k.Block.Citations = slices.Clone(ev.Block.Citations)
	k.Block.Extra = slices.Clone(ev.Block.Extra)
	for i := range k.Block.Extra {
		k.Block.Extra[i].JSON = bytes.Clone(k.Block.Extra[i].JSON)
	}
	return &k
}

// Flush wakes the followers, when there is something that they have not seen.
func (fl *Flight) Flush() {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.begun {
		fl.wake()
	}
}

// Finish says that the answer is whole. e may be nil for a streamed one that could not be kept as a whole; it must not be
// written to any more.
func (fl *Flight) Finish(e *Entry) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.end(e, nil)
}

// Fail says that there will be no answer, or no more of it. The flight is removed: the next to join leads another.
func (fl *Flight) Fail(f *fault.Fault) {
	fl.Remove()
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.failed = fl.failed || !fl.ended
	fl.end(nil, f)
}

// end is called with the lock held; the first one counts.
func (fl *Flight) end(e *Entry, f *fault.Fault) {
	if fl.ended {
		return
	}
	fl.ended, fl.entry, fl.fault = true, e, f
	fl.wake()
}

func (fl *Flight) wake() {
	if fl.changed != nil {
		close(fl.changed)
		fl.changed = nil
	}
}

// Remove takes the flight out of the set; who has joined keeps it. A leader calls it when the answer has been stored: until
// then whoever comes finds the flight, and after that the entry, so that none of them asks the provider again.
func (fl *Flight) Remove() {
	sh := fl.flights.shard(fl.key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.m[fl.key] == fl {
		delete(sh.m, fl.key)
	}
}

// View is what a follower sees of a flight at one moment.
type View struct {
	Begun bool   // content of a stream has come
	Ended bool   // nothing more will come
	Entry *Entry // the whole answer once it is there
	// Failed says that there will be none, or no more of it. Why is in Fault, nil when the leader just went away.
	Failed bool
	Fault  *fault.Fault

	log  []logged
	text []byte
}

// Look shows the flight, its events from the given one on. changed is closed when there is more to see, nil when there will
// be nothing.
func (fl *Flight) Look(from int) (v View, changed <-chan struct{}) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	v = View{Begun: fl.begun, Ended: fl.ended, Entry: fl.entry, Failed: fl.failed, Fault: fl.fault, log: fl.log[from:], text: fl.text}
	if fl.ended {
		return v, nil
	}
	if fl.changed == nil {
		fl.changed = make(chan struct{})
	}
	return v, fl.changed
}

// Events calls emit with each event in view, and says how many they were. emit must not keep the event.
func (v *View) Events(emit func(*chat.Event)) int {
	for i := range v.log {
		l := &v.log[i]
		if l.rest != nil {
			ev := *l.rest // an encoder may write to what it is given
			emit(&ev)
			continue
		}
		emit(&chat.Event{Kind: l.kind, Choice: l.choice, Index: l.index, Text: string(v.text[l.from:l.to])})
	}
	return len(v.log)
}
