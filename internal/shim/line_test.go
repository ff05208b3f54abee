package shim

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestMessagesArriveAsTheyWereSent(t *testing.T) {
	sent := []Message{
		{Type: MessageHello}, {Type: MessageStarted}, {Type: MessageKill}, {Type: MessageAck}, {Type: "unknown"},
		{Type: MessageExit, Exit: &ExitReport{
			Code: 137, Signal: 9, DeadlineKill: true, CPUMicros: 1, MaxRSSBytes: 2, WallMicros: 3,
			Stdout: LogReport{Written: 5, Dropped: 5}, Stderr: LogReport{Written: 6},
		}},
		// The longest there can be.
		{Type: MessageExit, Exit: &ExitReport{ExecError: strings.Repeat("\x01", maxReason), SetupError: strings.Repeat("\x01", maxReason)}},
	}
	var wire bytes.Buffer
	for _, m := range sent {
		if err := WriteMessage(&wire, m); err != nil {
			t.Fatal(err)
		}
	}
	lines := NewLineReader(&wire)
	for _, want := range sent {
		got, err := ReadMessage(lines)
		if err != nil || got.Type != want.Type || (want.Exit != nil && *got.Exit != *want.Exit) {
			t.Errorf("got %+v, %v; want %+v", got, err, want)
		}
	}
	if _, err := ReadMessage(lines); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestGarbageIsNoMessage(t *testing.T) {
	for _, line := range []string{
		"", "kill", "[]", "null", "{}", `{"type":""}`, `{"type":1}`, `{"type":"exit"}`, `{"type":"exit","exit":null}`,
		`{"type":"exit","exit":{"code":-1}}`, `{"type":"exit","exit":{"code":256}}`,
		`{"type":"exit","exit":{"signal":65}}`, `{"type":"exit","exit":{"signal":-1}}`,
		`{"type":"exit","exit":{"cpu_micros":-1}}`, `{"type":"exit","exit":{"wall_micros":-1}}`,
		`{"type":"exit","exit":{"max_rss_bytes":-1}}`, `{"type":"exit","exit":{"cpu_micros":1e30}}`,
		`{"type":"exit","exit":{"stdout":{"written":1,"dropped":2}}}`, `{"type":"exit","exit":{"stderr":{"dropped":-1}}}`,
		`{"type":"hello"} {"type":"hello"}`, `{"type":"` + strings.Repeat("x", MaxLine) + `"}`,
	} {
		if m, err := ReadMessage(NewLineReader(strings.NewReader(line + "\n"))); !errors.Is(err, ErrGarbage) {
			t.Errorf("%.80q gave %+v, %v", line, m, err)
		}
	}
}

func TestUnfinishedLineIsNoMessage(t *testing.T) {
	if m, err := ReadMessage(NewLineReader(strings.NewReader(`{"type":"kill"}`))); !errors.Is(err, io.EOF) {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestTooLongAMessageIsNotSent(t *testing.T) {
	var wire bytes.Buffer
	err := WriteMessage(&wire, Message{Type: strings.Repeat("x", MaxLine)})
	if !errors.Is(err, ErrGarbage) || wire.Len() > 0 {
		t.Errorf("error %v, %d bytes sent", err, wire.Len())
	}
}

// Whatever is accepted is possible, and survives another round.
func FuzzReadMessage(f *testing.F) {
	f.Add([]byte("{\"type\":\"hello\"}\n{\"type\":\"kill\"}\n"))
	f.Add([]byte(`{"type":"exit","exit":{"code":3,"cpu_micros":5,"stdout":{"written":9,"dropped":1}}}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := NewLineReader(bytes.NewReader(data))
		for {
			m, err := ReadMessage(lines)
			if err != nil {
				return
			}
			var wire bytes.Buffer
			if err := WriteMessage(&wire, m); errors.Is(err, ErrGarbage) {
				continue // escaping can make a line too long
			}
			again, err := ReadMessage(NewLineReader(&wire))
			if err != nil || again.Type != m.Type || (m.Exit != nil && *again.Exit != *m.Exit) {
				t.Fatalf("%+v became %+v, %v", m, again, err)
			}
		}
	})
}
