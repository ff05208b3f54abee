package rpc

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tetryx/lynx-runner/internal/platform/live"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// The most bytes in one message of a Tail.
const (
	maxLogChunk       = 64 << 10
	maxTelemetryChunk = 4 << 20
)

type tailStream = grpc.BidiStreamingServer[runnerv1.TailRequest, runnerv1.TailResponse]

// Tail implements runnerv1.RunnerServiceServer. It lasts until the runner ends it or
// opens another one, or the hub is closed.
func (s *Server) Tail(stream tailStream) error {
	if s.opts.Live == nil {
		return status.Error(codes.Unimplemented, "this platform shows no live output")
	}
	ctx := stream.Context()
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	if m.GetOpen() == nil {
		return s.status(ctx, bad("open", "must be the first message"))
	}
	if err := checkSession(m.GetOpen().GetSessionId()); err != nil {
		return s.status(ctx, err)
	}
	r, err := s.svc.SessionRunner(ctx, m.GetOpen().GetSessionId())
	if err != nil {
		return s.status(ctx, err)
	}
	conn := s.opts.Live.Attach(r.ID)
	received := make(chan error, 1)
	go func() {
		received <- receiveTail(stream, conn) // ends with the stream, if not before
		conn.Close()
	}()
	err = sendTail(ctx, stream, conn)
	conn.Close()
	select {
	case err = <-received:
		if err != nil {
			return s.status(ctx, err)
		}
		return nil
	default: // the hub ended it, or the stream is broken
	}
	if ctx.Err() != nil {
		return s.status(ctx, err)
	}
	return status.Error(codes.Unavailable, "the platform ended this stream; open it again")
}

// sendTail asks for what is watched until the connection ends.
func sendTail(ctx context.Context, stream tailStream, conn *live.Conn) error {
	for {
		requests, err := conn.Next(ctx)
		if err != nil {
			return err
		}
		for _, r := range requests {
			m := &runnerv1.TailResponse{AttemptId: r.AttemptID, Logs: r.What.Logs, Telemetry: r.What.Telemetry}
			if err := stream.Send(m); err != nil {
				return err
			}
		}
	}
}

// receiveTail brings what comes to the hub; nil when the runner ends the stream in
// order.
func receiveTail(stream tailStream, conn *live.Conn) error {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return cut{err}
		}
		switch part := m.GetPart().(type) {
		case *runnerv1.TailRequest_Log:
			if err := checkLogChunk(part.Log); err != nil {
				return err
			}
			conn.Log(part.Log.GetAttemptId(), live.LogChunk{
				Stream: part.Log.GetStream(), Offset: part.Log.GetOffset(), Data: part.Log.GetData(),
			})
		case *runnerv1.TailRequest_Telemetry:
			if n := proto.Size(part.Telemetry); n > maxTelemetryChunk {
				return bad("telemetry", "%d bytes; at most %d", n, maxTelemetryChunk)
			}
			conn.Telemetry(part.Telemetry.GetAttemptId(), part.Telemetry.GetSamples(), part.Telemetry.GetDroppedSamples())
		case *runnerv1.TailRequest_End:
			conn.End(part.End.GetAttemptId())
		default:
			return bad("part", "%T; only log, telemetry and end may follow open", part)
		}
	}
}

func checkLogChunk(c *runnerv1.LogChunk) error {
	switch {
	case c.GetStream() != "stdout" && c.GetStream() != "stderr":
		return bad("log.stream", "%.*q; it must be stdout or stderr", maxShown, c.GetStream())
	case c.GetOffset() < 0:
		return bad("log.offset", "%d; it must not be below 0", c.GetOffset())
	case len(c.GetData()) > maxLogChunk:
		return bad("log.data", "%d bytes; at most %d", len(c.GetData()), maxLogChunk)
	}
	return nil
}
