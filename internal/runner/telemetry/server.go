package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/tetryx/lynx-runner/internal/runner/watchdog"
	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// Config is what a server is made of.
type Config struct {
	// AttemptID is the attempt that the server belongs to. Telemetry of any other
	// is refused.
	AttemptID string
	// Socket is the path of the unix socket, under 108 bytes. Its directory is
	// the caller's, and decides who can connect: the socket's mode is 0666.
	Socket string
	// LogPath is the attempt's telemetry log, where the job can't write. A log
	// that an earlier server left is continued.
	LogPath string
	// MaxLogBytes bounds the log; samples beyond are dropped and counted. 0 means
	// 1 GiB.
	MaxLogBytes int64
	// Evaluate judges a sample; usually [watchdog.Watchdog.Evaluate]. It is called
	// with one sample at a time, in order, until it returns a verdict. nil judges
	// nothing.
	Evaluate func(*telemetryv1.Sample) *watchdog.Verdict
	// OnVerdict is called with the first verdict, at most once, before its sample is
	// stored. The server waits for it, so it must not block. Where an earlier server
	// already had a verdict, it is called with that before Serve returns. nil is
	// allowed.
	OnVerdict func(Finding)
	// Found is what an earlier server's OnVerdict was called with, if the caller kept
	// it: that server may have ended before its log had it. Of it, Sample and Arrived
	// are taken: the sample is judged again. nil means that there is none but in the
	// log.
	Found *Finding
	// Now is the clock for arrivals; nil means time.Now.
	Now func() time.Time
	// Log is for operators; nil discards.
	Log *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if c.AttemptID == "" {
		return c, errors.New("telemetry: the attempt's id is empty")
	}
	if c.MaxLogBytes <= 0 {
		c.MaxLogBytes = defaultMaxLog
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// Finding is a verdict and what it came from.
type Finding struct {
	Verdict watchdog.Verdict
	// Sample is the one that was judged, as it came. Nobody changes it.
	Sample *telemetryv1.Sample
	// Arrived is when it came.
	Arrived time.Time
}

// Server receives the telemetry of one attempt. Its methods may be called from
// any goroutine.
type Server struct {
	cfg      Config
	in       *intake
	w        *writer
	listener *listener
	grpc     *grpc.Server
	// served is closed when the accept loop has ended, and written when the
	// writer has.
	served, written chan struct{}
	// unlogged says that the log of an earlier server did not have the verdict that it
	// came to.
	unlogged bool

	finish  sync.Once
	summary Summary
	err     error
}

// Serve listens on cfg.Socket and takes up cfg.LogPath. The caller ends the
// server with Finish.
func Serve(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	t := newTally()
	file, size, cut, err := openLog(cfg.LogPath, cfg.AttemptID, t)
	if err != nil {
		return nil, err
	}
	if cut > 0 {
		cfg.Log.Warn("telemetry: cut a torn end off the log", "log", cfg.LogPath, "bytes", cut)
	}
	l, err := listen(cfg.Socket, cfg.Log, cfg.Now)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return start(cfg, l, file, size, t), nil
}

// start runs a server on a listener and a log that are open.
func start(cfg Config, l *listener, file logFile, size int64, t *tally) *Server {
	in := newIntake(cfg, t, size)
	found, logged := cfg.Found, t.breach != nil
	if logged {
		found = &Finding{Sample: t.breach, Arrived: t.arrived}
	}
	if err := in.restore(found, logged); err != nil {
		cfg.Log.Warn("telemetry: the verdict of an earlier run is not taken up", "error", err)
	}
	s := &Server{
		cfg: cfg, in: in, listener: l, unlogged: found != nil && !logged,
		w:      &writer{in: in, file: file, size: size, tally: t, logged: t.counters, log: cfg.Log},
		grpc:   newGRPC(),
		served: make(chan struct{}), written: make(chan struct{}),
	}
	telemetryv1.RegisterTelemetryServiceServer(s.grpc, &service{in: in, now: cfg.Now})
	go func() {
		defer close(s.written)
		s.w.run()
	}()
	go func() {
		defer close(s.served)
		if err := s.grpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			cfg.Log.Error("telemetry: the server ended", "error", err)
		}
	}()
	return s
}

func newGRPC() *grpc.Server {
	return grpc.NewServer(
		grpc.ForceServerCodecV2(newCodec()),
		grpc.StreamInterceptor(interceptStream),
		grpc.UnaryInterceptor(interceptUnary),
		grpc.UnknownServiceHandler(unknownMethod),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(4<<10),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(8<<10),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connectionWindow),
		grpc.ReadBufferSize(16<<10),
		grpc.WriteBufferSize(4<<10),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.WaitForHandlers(true),
		// A client may ask as often as once a second whether we are there. We don't
		// ask: the end of a peer on a unix socket is always seen.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
	)
}

// Verdict is the first verdict, the arrival of its sample, and whether there is
// one. After Finish it is final.
func (s *Server) Verdict() (watchdog.Verdict, time.Time, bool) { return s.in.verdictNow() }

// Finish ends the server of a job that has ended. Everything that the job sent
// is read first: streams are read to their ends, for at most one second, after
// which those that are still open are cut. Then the log is written to its end and
// closed, not synced, and the socket removed. A second call returns what the first
// did.
//
// When ctx ends, Finish stops waiting: streams are cut at once, and if the disk
// does not answer, it returns ctx's error, while the log is written behind it.
// The summary is zero then. With any other error the summary is right, and the
// log incomplete.
func (s *Server) Finish(ctx context.Context) (Summary, error) {
	s.finish.Do(func() { s.summary, s.err = s.end(ctx) })
	return s.summary, s.err
}

func (s *Server) end(ctx context.Context) (Summary, error) {
	s.stopServing(ctx)
	s.in.close()
	type result struct {
		summary Summary
		err     error
	}
	results := make(chan result, 1)
	go func() {
		<-s.written
		err := s.w.finish(s.in.lastCounters())
		results <- result{s.w.tally.summary(), err}
	}()
	select {
	case r := <-results:
		if s.unlogged {
			r.summary.Warnings = append(r.summary.Warnings, "The runner was killed before it had stored the sample that ended the job: that sample, and others that came with it, may be missing.")
		}
		return r.summary, r.err
	case <-ctx.Done():
		return Summary{}, fmt.Errorf("waiting for the telemetry log to be written: %w", ctx.Err())
	}
}

// stopServing reads what the job sent, and closes every connection.
func (s *Server) stopServing(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, endOfStreams)
	defer cancel()
	s.in.drain()
	if err := s.listener.drain(ctx); err != nil {
		s.cfg.Log.Warn("telemetry: connections may have been missed", "error", err)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		s.grpc.GracefulStop()
	}()
	select {
	case <-stopped:
	case <-ctx.Done():
		s.cfg.Log.Warn("telemetry: streams did not end after the job and were cut")
		s.listener.connections.closeAll()
		s.grpc.Stop()
		<-stopped
	}
	<-s.served
}
