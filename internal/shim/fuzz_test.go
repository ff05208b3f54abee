package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// FuzzLoadConfig: a configuration that is taken can be carried out, and means the
// same when it is written and read again.
func FuzzLoadConfig(f *testing.F) {
	f.Add([]byte(`{"argv":["/job","-x"],"env":["A=b","TETRYX_TELEMETRY_URL=mine"],"dir":"/lynx/output","control_socket":"/c","telemetry_socket":"/t",` +
		`"telemetry_listen":"127.0.0.1:0","stdout":"/o","stderr":"/e","log_head":1,"log_tail":2,"kill_after_millis":3,"rlimits":[{"resource":7,"soft":1,"hard":2}]}`))
	f.Add([]byte(`{"argv":[""],"dir":"relative"}`))
	f.Add([]byte(`{"argv":["x"],"dir":"/","stdout":"/o","stderr":"/o"} trailing`))
	f.Add([]byte(`{"argv":["x"],"dir":"/","stdout":"/o","stderr":"/e","report_fd":1}`))
	f.Add([]byte(`{"argv":["x"],"dir":"/","stdout":"/o","stderr":"/e","telemetry_socket":"/t","telemetry_listen":"0.0.0.0:1"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := loadedFrom(t, data)
		if err != nil {
			return
		}
		if len(c.Argv) == 0 || !filepath.IsAbs(c.Dir) || c.Stdout == c.Stderr || min(c.LogHead, c.LogTail, c.KillAfterMillis) < 0 {
			t.Fatalf("%+v is taken", c)
		}
		if c.TelemetryListen != "" {
			host, _, err := net.SplitHostPort(c.TelemetryListen)
			if err != nil || !net.ParseIP(host).IsLoopback() {
				t.Fatalf("it listens on %q", c.TelemetryListen)
			}
		}
		told := slices.DeleteFunc(slices.Clone(c.environment("127.0.0.1:9")), func(kv string) bool { return !strings.HasPrefix(kv, "TETRYX_TELEMETRY_") })
		if last := told[max(0, len(told)-2):]; !slices.Equal(last, []string{"TETRYX_TELEMETRY_URL=http://127.0.0.1:9", "TETRYX_TELEMETRY_TARGET=127.0.0.1:9"}) {
			t.Fatalf("the job is told %q", told)
		}
		written, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := loadedFrom(t, written)
		rewritten, _ := json.Marshal(again)
		if err != nil || string(rewritten) != string(written) {
			t.Fatalf("%s became %s, %v", written, rewritten, err)
		}
	})
}

func loadedFrom(t *testing.T, data []byte) (Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return loadConfig(path)
}

// FuzzReadLog: whatever a job makes of its log, a reader comes to an end, reads no
// more than the cap allows, and never goes back.
func FuzzReadLog(f *testing.F) {
	f.Add([]byte("headofit"), []byte(fmt.Sprintf(segmentHeader, 1)+"tail"), []byte(fmt.Sprintf(segmentHeader, 2)+"more"), int64(0))
	f.Add([]byte("headofit"), []byte(fmt.Sprintf(segmentHeader, int64(1)<<40)+"far"), []byte(fmt.Sprintf(segmentHeader, 7)), int64(5))
	f.Add([]byte("headofit\n[lynx: 12 bytes cut]\nend"), []byte(nil), []byte("garbage"), int64(12))
	f.Fuzz(func(t *testing.T, log, a, b []byte, dropped int64) {
		dir := t.TempDir()
		path := filepath.Join(dir, "stdout.log")
		if err := errors.Join(put(path, string(log)), put(path+segmentSuffixA, string(a)), put(path+segmentSuffixB, string(b))); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		const head, tail = 8, 16
		r := NewLogReader(root, "stdout.log", head, tail)
		defer r.Close()
		end, live := drain(t, r, 0)
		r.Finish(dropped)
		_, rest := drain(t, r, end)
		// Running, the head and two segments; finished, the head, what tells of the
		// cut, and the tail.
		if live > head+2*tail || rest > head+tail+len(fmt.Sprintf(cutLine, max(dropped, 0))) {
			t.Fatalf("%d bytes while it ran, and %d after", live, rest)
		}
	})
}

// drain reads what there is, and returns the offset behind it and the bytes that
// it read.
func drain(t *testing.T, r *LogReader, end int64) (int64, int) {
	t.Helper()
	p, total := make([]byte, 5), 0
	for range 1000 {
		offset, n, err := r.Next(p)
		if err != nil {
			t.Fatal(err)
		}
		if offset < end || n < 0 || n > len(p) {
			t.Fatalf("%d bytes at %d, after %d", n, offset, end)
		}
		if n == 0 {
			return end, total
		}
		end, total = offset+int64(n), total+n
	}
	t.Fatal("it has no end")
	return 0, 0
}

// FuzzSegmentNumber: only the header that the shim writes is one.
func FuzzSegmentNumber(f *testing.F) {
	f.Add([]byte(fmt.Sprintf(segmentHeader, 12)), int64(8))
	f.Add([]byte(strings.ReplaceAll(fmt.Sprintf(segmentHeader, 12), "0", " ")), int64(8))
	f.Fuzz(func(t *testing.T, header []byte, tail int64) {
		if n := segmentNumber(header, tail); n < 0 || n > 0 && fmt.Sprintf(segmentHeader, n) != string(header) || n > 1<<40 {
			t.Errorf("%q is number %d", header, n)
		}
	})
}

// FuzzReport: a report that comes whole is possible, and is the one that was sent.
func FuzzReport(f *testing.F) {
	f.Add(3, 0, "", "", int64(5), int64(4096), int64(9), int64(1))
	f.Add(137, 9, "no such file\n\x00\xff", strings.Repeat("\u2028", maxReason/3), int64(-1), int64(0), int64(0), int64(0))
	f.Fuzz(func(t *testing.T, code, signal int, execError, setupError string, cpu, written, dropped, wall int64) {
		sent := ExitReport{
			Code: code, Signal: signal, ExecError: strings.ToValidUTF8(execError[:min(len(execError), maxReason)], ""),
			SetupError: strings.ToValidUTF8(setupError[:min(len(setupError), maxReason)], ""),
			CPUMicros:  cpu, WallMicros: wall, Stdout: LogReport{Written: written, Dropped: dropped},
		}
		var wire strings.Builder
		if err := WriteMessage(&wire, Message{Type: MessageExit, Exit: &sent}); err != nil {
			t.Fatalf("a report with bounded texts does not fit: %v", err)
		}
		m, err := ReadMessage(NewLineReader(strings.NewReader(wire.String())))
		possible := code >= 0 && code <= 255 && signal >= 0 && signal <= 64 && cpu >= 0 && wall >= 0 && dropped >= 0 && dropped <= written
		if (err == nil) != possible || err != nil && !errors.Is(err, ErrGarbage) {
			t.Fatalf("%+v: %v", sent, err)
		}
		if err == nil && !reflect.DeepEqual(*m.Exit, sent) {
			t.Errorf("%+v became %+v", sent, *m.Exit)
		}
	})
}
