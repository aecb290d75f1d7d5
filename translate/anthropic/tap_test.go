package anthropic_test

import (
	"bytes"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

func TestTap_passes_every_byte(t *testing.T) {
	stream := append(recorded(t), ": bye\n\n"...)
	for n := 1; n < 200; n++ {
		tap := codec.NewTap(maxEvent, translate.Answer{})
		var out []byte
		var err error
		first := 0
		for from := 0; from < len(stream); from += n {
			piece := append([]byte(nil), stream[from:min(from+n, len(stream))]...)
			if out, err = tap.Write(out, piece); err != nil {
				t.Fatal(err)
			}
			if tap.Seen().FirstContent {
				first++
			}
		}
		if out, err = tap.Close(out); err != nil || !bytes.Equal(out, stream) {
			t.Fatalf("pieces of %d: %v\n%s", n, err, out)
		}
		s := tap.Seen()
		if s.ID != "msg_01" || s.Finish != chat.FinishToolCalls || !s.End || !s.Content || first != 1 || s.Usage.Output != 89 || s.Usage.Input != 472 {
			t.Fatalf("pieces of %d: %+v, first content %d times", n, s, first)
		}
		if want := len(`Let me see …` + "Okay, \"żółw\" 😀\n" + `{"location": "San Francisco"}` + `{}`); s.OutputBytes != want {
			t.Fatalf("output of %d bytes, want %d", s.OutputBytes, want)
		}
	}
}

func TestTap_keeps_back_what_is_not_whole(t *testing.T) {
	tap := codec.NewTap(maxEvent, translate.Answer{})
	whole := data(messageStart, textStart)
	out, err := tap.Write(nil, append(append([]byte(nil), whole...), "data: {\"type\":\"content_bl"...))
	if err != nil || !bytes.Equal(out, whole) {
		t.Fatalf("%v %s", err, out)
	}
	out, err = tap.Close(out)
	paramOf(t, err, fault.ProviderFailed)
	if !bytes.Equal(out, whole) || tap.Seen().End {
		t.Errorf("half an event passed: %s", out)
	}
}

func TestTap_faults_and_errors(t *testing.T) {
	tap := codec.NewTap(maxEvent, translate.Answer{})
	good := data(messageStart)
	out, err := tap.Write(nil, append(append([]byte(nil), good...), data("<html>")...))
	paramOf(t, err, fault.ProviderFailed)
	if !bytes.Equal(out, good) {
		t.Errorf("what came before must pass: %s", out)
	}
	if out, err = tap.Write(nil, good); out != nil || err != nil {
		t.Error("nothing may follow a fault")
	}
	if out, err = tap.Close(nil); out != nil || err != nil {
		t.Error("a fault is told once")
	}

	tap = codec.NewTap(maxEvent, translate.Answer{})
	stream := data(messageStart, `{"type":"error","error":{"type":"overloaded_error","message":"busy"}}`)
	out, err = tap.Write(nil, stream)
	if err != nil || !bytes.Equal(out, stream) || tap.Seen().Fault == nil || tap.Seen().Fault.Kind != fault.Overloaded {
		t.Errorf("%v %+v", err, tap.Seen())
	}
	if _, err := tap.Close(nil); err != nil {
		t.Errorf("an error event is an end of its own: %v", err)
	}

	tap = codec.NewTap(64, translate.Answer{})
	_, err = tap.Write(nil, bytes.Repeat([]byte("x"), 100))
	paramOf(t, err, fault.ProviderFailed)
}

func TestTap_last_event_without_blank_line_gets_it(t *testing.T) {
	tap := codec.NewTap(maxEvent, translate.Answer{})
	out, err := tap.Write(nil, append(data(messageStart), "data: "+messageStop+"\r\n"...))
	if err != nil {
		t.Fatal(err)
	}
	out, err = tap.Close(out)
	if want := append(data(messageStart), data(messageStop)...); err != nil || !bytes.Equal(out, want) {
		t.Errorf("%v %q", err, out)
	}
}
