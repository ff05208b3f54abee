package telemetry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tetryx/lynx-runner/internal/runner/watchdog"
	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// breachAt is a watchdog that objects to every sample from a time on.
func breachAt(time float64) func(*telemetryv1.Sample) *watchdog.Verdict {
	return func(s *telemetryv1.Sample) *watchdog.Verdict {
		if s.GetTimeSeconds() < time {
			return nil
		}
		return &watchdog.Verdict{Kind: watchdog.Breach, Time: s.GetTimeSeconds()}
	}
}

// A client that is still there and still silent is cut after the bound; what it
// sent is kept.
func TestFinishCutsOpenStreams(t *testing.T) {
	cfg := place(t)
	s := serve(t, cfg)
	st := dial(t, cfg.Socket).open(t)
	send(t, st, batch(1, sample(0, "x", 1, "")))
	awaitAck(t, st, 1)
	silent, err := net.Dial("unix", cfg.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	start := time.Now()
	sum := finish(t, s)
	if sum.Samples != 1 {
		t.Errorf("%+v", sum)
	}
	if waited := time.Since(start); waited < endOfStreams {
		t.Errorf("the stream was given %v", waited)
	}
	if _, err := st.Recv(); err == nil {
		t.Error("the stream goes on after Finish")
	}
}

// A stream that ends after the job is read to its end.
func TestFinishReadsAStreamThatStillDelivers(t *testing.T) {
	cfg := place(t)
	s := serve(t, cfg)
	st := dial(t, cfg.Socket).open(t)
	send(t, st, batch(1, sample(0, "x", 1, "")))
	awaitAck(t, st, 1)
	type result struct {
		sum Summary
		err error
	}
	results := make(chan result)
	go func() {
		sum, err := s.Finish(context.Background())
		results <- result{sum, err}
	}()
	eventually(t, "Finish has begun", func() bool {
		s.in.mu.Lock()
		defer s.in.mu.Unlock()
		return s.in.draining
	})
	send(t, st, batch(2, sample(1, "x", 2, "")), batch(3, sample(2, "x", 3, "")))
	if err := st.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if r := <-results; r.err != nil || r.sum.Samples != 3 {
		t.Errorf("%+v", r)
	}
}

func TestFinishWithAnEndedContext(t *testing.T) {
	cfg := place(t)
	d := &disk{data: encoded(t), hold: make(chan struct{})}
	cfg, err := cfg.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	l, err := listen(cfg.Socket, cfg.Log, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	s := start(cfg, l, d, int64(len(d.data)), newTally())
	c := dial(t, cfg.Socket)
	if _, _, err := s.in.publish(&telemetryv1.PublishRequest{Sample: sample(0, "x", 1, "")}, time.Now()); err != nil {
		t.Fatal(err)
	}
	c.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Finish(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if _, err := s.Finish(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("the second call gives %v", err)
	}
	close(d.hold)
	<-s.written
}

// The verdict is announced while the disk stands still, with the arrival's time,
// once; later samples are kept but not judged.
func TestVerdictDoesNotWaitForTheDisk(t *testing.T) {
	arrival := time.Unix(1700000000, 5)
	announced := make(chan time.Time, 10)
	cfg := place(t)
	cfg.Now = func() time.Time { return arrival }
	cfg.Evaluate = breachAt(10)
	cfg.OnVerdict = func(f Finding) { announced <- f.Arrived }
	cfg.Log = slog.New(slog.DiscardHandler)
	cfg.MaxLogBytes = defaultMaxLog
	l, err := listen(cfg.Socket, cfg.Log, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	d := &disk{data: encoded(t), hold: make(chan struct{})}
	s := start(cfg, l, d, int64(len(d.data)), newTally())
	st := dial(t, cfg.Socket).open(t)
	send(t, st, batch(1, sample(9, "x", 1, "")), batch(2, sample(10, "x", 2, ""), sample(11, "x", 3, "")), batch(3, sample(12, "x", 4, "")))
	if got := <-announced; !got.Equal(arrival) {
		t.Errorf("arrival %v", got)
	}
	close(d.hold)
	awaitAck(t, st, 3)
	if err := st.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if sum := finish(t, s); sum.Samples != 4 {
		t.Errorf("%+v", sum)
	}
	if v, at, ok := s.Verdict(); !ok || v.Time != 10 || !at.Equal(arrival) || len(announced) != 0 {
		t.Errorf("%+v at %v, %t, %d more calls", v, at, ok, len(announced))
	}
	if again := d.reread(t); again.breach.GetTimeSeconds() != 10 || !again.arrived.Equal(arrival) {
		t.Errorf("the log has %v at %v", again.breach, again.arrived)
	}
}

// A verdict that an earlier server came to and did not log stands, is logged, and told.
func TestVerdictThatWasNotLogged(t *testing.T) {
	arrival := time.Unix(1700000000, 5)
	var found []Finding
	cfg := place(t)
	cfg.Evaluate = breachAt(10)
	cfg.OnVerdict = func(f Finding) { found = append(found, f) }
	cfg.Found = &Finding{Sample: sample(10, "x", 1, ""), Arrived: arrival}
	for again := range 2 {
		s := serve(t, cfg)
		v, at, ok := s.Verdict()
		if !ok || v.Time != 10 || !at.Equal(arrival) || len(found) != again+1 || found[again].Sample.GetTimeSeconds() != 10 {
			t.Fatalf("start %d: %+v at %v, %t, %d calls", again, v, at, ok, len(found))
		}
		sum := finish(t, s)
		if told := slices.ContainsFunc(sum.Warnings, func(w string) bool { return strings.Contains(w, "may be missing") }); told != (again == 0) {
			t.Errorf("start %d: warnings %q", again, sum.Warnings)
		}
		cfg.Found = nil // the log has it
	}
}

// A runner that comes back finds verdict, sequence and summary in the log.
func TestServerIsTakenUpAgain(t *testing.T) {
	arrival := time.Unix(1700000000, 5)
	calls := 0
	cfg := place(t)
	cfg.Now = func() time.Time { return arrival }
	cfg.Evaluate = breachAt(10)
	cfg.OnVerdict = func(Finding) { calls++ }
	first := serve(t, cfg)
	st := dial(t, cfg.Socket).open(t)
	send(t, st, batch(1, sample(10, "x", 1, "")), batch(2, sample(11, "x", 2, "")))
	awaitAck(t, st, 2)
	finish(t, first)

	cfg.Now = time.Now
	second := serve(t, cfg)
	if v, at, ok := second.Verdict(); !ok || v.Time != 10 || !at.Equal(arrival) || calls != 2 {
		t.Errorf("%+v at %v, %t, %d calls", v, at, ok, calls)
	}
	st = dial(t, cfg.Socket).open(t)
	send(t, st, batch(2, sample(11, "x", 2, "")))
	awaitAck(t, st, 2)
	send(t, st, batch(3, sample(12, "x", 3, "")))
	awaitAck(t, st, 3)
	if err := st.CloseSend(); err != nil {
		t.Fatal(err)
	}
	sum := finish(t, second)
	if sum.Samples != 3 || sum.DuplicateBatches != 1 || sum.Variables[0].Last != 3 || calls != 2 {
		t.Errorf("%+v, %d calls", sum, calls)
	}
	// With other conditions the verdict is not made up.
	cfg.Evaluate = breachAt(1000)
	third := serve(t, cfg)
	if v, _, ok := third.Verdict(); ok {
		t.Errorf("%+v", v)
	}
	finish(t, third)
}

func TestServeRefuses(t *testing.T) {
	cases := []struct {
		name, says string
		change     func(cfg *Config)
	}{
		{"no attempt", "id is empty", func(cfg *Config) { cfg.AttemptID = "" }},
		{"a long socket path", "shorter runtime directory", func(cfg *Config) {
			cfg.Socket = filepath.Join(filepath.Dir(cfg.Socket), strings.Repeat("s", 108))
		}},
		{"a file in the socket's place", "not a socket", func(cfg *Config) {
			if err := os.WriteFile(cfg.Socket, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"no directory for the socket", "no such file", func(cfg *Config) { cfg.Socket = "/nonexistent/s" }},
		{"no directory for the log", "no such file", func(cfg *Config) { cfg.LogPath = "/nonexistent/log" }},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			cfg := place(t)
			tc.change(&cfg)
			if _, err := Serve(cfg); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error is %v, want %q", err, tc.says)
			}
		})
	}
}

func TestSocketIsForEverybodyAndReplacesAnOldOne(t *testing.T) {
	cfg := place(t)
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: cfg.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	_ = old.Close()
	s := serve(t, cfg)
	info, err := os.Lstat(cfg.Socket)
	if err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v", info, err)
	}
	finish(t, s)
}

func TestPublish(t *testing.T) {
	cfg := place(t)
	cfg.Evaluate = breachAt(10)
	s := serve(t, cfg)
	c := dial(t, cfg.Socket)
	for _, req := range []*telemetryv1.PublishRequest{
		{AttemptId: attempt, Sample: sample(1, "x", 1, "")}, {Sample: sample(10, "x", 2, "")}, {Sample: sample(10, "x", 2, "")},
	} {
		if _, err := c.Publish(t.Context(), req); err != nil {
			t.Fatal(err)
		}
	}
	many := &telemetryv1.Sample{}
	for range maxPublishValues + 1 {
		many.Values = append(many.Values, &telemetryv1.Value{Name: "x"})
	}
	for name, req := range map[string]*telemetryv1.PublishRequest{
		"another attempt": {AttemptId: "job-2", Sample: sample(0, "x", 1, "")}, "no sample": {}, "too many values": {Sample: many},
	} {
		if _, err := c.Publish(t.Context(), req); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	_ = c.cc.Close()
	if sum := finish(t, s); sum.Samples != 3 || sum.DuplicateBatches != 0 {
		t.Errorf("%+v", sum)
	}
	if v, _, ok := s.Verdict(); !ok || v.Time != 10 {
		t.Errorf("%+v, %t", v, ok)
	}
	if samples, _ := readBack(t, cfg.LogPath); len(samples) != 3 {
		t.Errorf("the log has %v", samples)
	}
}

// What a client must not do ends its stream with a status that says so, and
// harms nobody else.
func TestStreamRefusals(t *testing.T) {
	cfg := place(t)
	s := serve(t, cfg)
	c := dial(t, cfg.Socket)
	cases := map[string]struct {
		batch *telemetryv1.StreamRequest
		code  codes.Code
	}{
		"another attempt": {&telemetryv1.StreamRequest{AttemptId: "job-2", Sequence: 1}, codes.InvalidArgument},
		"no sequence":     {&telemetryv1.StreamRequest{}, codes.InvalidArgument},
		"too large":       {batch(1, sample(0, strings.Repeat("x", maxMessage), 1, "")), codes.ResourceExhausted},
	}
	for name, tc := range cases {
		st := c.open(t)
		send(t, st, tc.batch)
		if _, err := st.Recv(); status.Code(err) != tc.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.cc.Invoke(t.Context(), "/lynx.telemetry.v1.TelemetryService/Other", &telemetryv1.PublishRequest{}, &telemetryv1.PublishResponse{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("another method gives %v", err)
	}
	st := c.open(t)
	send(t, st, batch(1, sample(0, "x", 1, "")))
	awaitAck(t, st, 1)
	if err := st.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Recv(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	_ = c.cc.Close()
	if sum := finish(t, s); sum.Samples != 1 {
		t.Errorf("%+v", sum)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	cfg := place(t)
	s := serve(t, cfg)
	connect := func() net.Conn {
		c, err := net.Dial("unix", cfg.Socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	var conns []net.Conn
	for range maxConnections {
		conns = append(conns, connect())
	}
	eventually(t, "all are accepted", func() bool { return len(s.listener.connections.list()) == maxConnections })
	if _, err := connect().Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("one connection too many ends with %v", err)
	}
	_ = conns[0].Close()
	eventually(t, "its place is free", func() bool { return len(s.listener.connections.list()) < maxConnections })
	c := dial(t, cfg.Socket)
	if _, err := c.Publish(t.Context(), &telemetryv1.PublishRequest{Sample: sample(0, "x", 1, "")}); err != nil {
		t.Error(err)
	}
	_ = c.cc.Close()
	for _, c := range conns {
		_ = c.Close()
	}
	if sum := finish(t, s); sum.Samples != 1 {
		t.Errorf("%+v", sum)
	}
}

// Bytes that are no gRPC end their connection and nothing else.
func TestNoise(t *testing.T) {
	cfg := place(t)
	s := serve(t, cfg)
	frame := func(kind, flags byte, stream byte) string {
		return string([]byte{0, 0, 0, kind, flags, 0, 0, 0, stream})
	}
	settings := http2Preface + frame(4, 0, 0)
	for _, noise := range []string{
		"GET / HTTP/1.1\r\n\r\n", strings.Repeat("x", 100_000), http2Preface + strings.Repeat("\xff", 1000),
		settings + frame(frameHeaders, 4, 1), settings + frame(frameHeaders, 4, 2), settings + frame(frameData, flagEndStream, 7),
		settings + frame(frameRSTStream, 0, 1), settings[:30], settings + "\x00\x00",
	} {
		c, err := net.Dial("unix", cfg.Socket)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(c, noise)
		_ = c.Close()
	}
	st := dial(t, cfg.Socket).open(t)
	send(t, st, batch(1, sample(0, "x", 1, "")))
	awaitAck(t, st, 1)
	if err := st.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if sum := finish(t, s); sum.Samples != 1 {
		t.Errorf("%+v", sum)
	}
}

// A Publish of a client that is gone counts as well.
func TestPublishOfAClientThatDies(t *testing.T) {
	for range 10 {
		cfg := place(t)
		s := serve(t, cfg)
		c := newRawClient(t)
		for i := range uint32(maxStreams) {
			c.open(2*i+1, publishMethod)
			c.message(2*i+1, &telemetryv1.PublishRequest{Sample: sample(float64(i), "x", 1, "")}, 10)
			c.must(c.framer.WriteData(2*i+1, true, nil))
		}
		c.sendAndVanish(cfg.Socket)
		if sum := finish(t, s); sum.Samples != maxStreams {
			t.Fatalf("kept %d of %d", sum.Samples, maxStreams)
		}
	}
}
