package telemetry

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec that ours is made of
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// service is the telemetry service over an intake.
type service struct {
	telemetryv1.UnimplementedTelemetryServiceServer
	in  *intake
	now func() time.Time
}

// Stream takes batches until the client ends, and acknowledges beside it. A
// client that can't be sent acknowledgements any more is read to its end.
func (s *service) Stream(stream grpc.BidiStreamingServer[telemetryv1.StreamRequest, telemetryv1.StreamResponse]) error {
	a := &acknowledger{
		in: s.in, send: stream.Send,
		began: make(chan struct{}), ended: make(chan uint64, 1), done: make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(stream.Context())
	go a.run(ctx)
	last, err := s.receive(stream, a)
	readAll(stream.Context())
	if err != nil {
		cancel()
	}
	a.ended <- last
	<-a.done
	cancel()
	return err
}

// receive reads batches until the client ends, and returns the highest sequence
// number.
func (s *service) receive(stream grpc.ServerStream, a *acknowledger) (last uint64, err error) {
	for {
		var raw rawBatch
		switch err := stream.RecvMsg(&raw); {
		case errors.Is(err, io.EOF):
			return last, nil
		case err != nil:
			return last, err
		}
		sequence, full, err := s.in.batch(raw.data, s.now())
		if err != nil {
			return last, err
		}
		if last == 0 {
			close(a.began)
		}
		last = max(last, sequence)
		if full {
			s.in.waitForSpace(stream.Context())
		}
	}
}

// Publish takes one sample. It answers when the sample is in the log, as a stream
// acknowledges: what the client was told of must survive the runner.
func (s *service) Publish(ctx context.Context, req *telemetryv1.PublishRequest) (*telemetryv1.PublishResponse, error) {
	entry, full, err := s.in.publish(req, s.now())
	if err != nil {
		return nil, err
	}
	if full {
		s.in.waitForSpace(ctx)
	}
	s.in.waitForWrite(ctx, entry)
	return &telemetryv1.PublishResponse{}, nil
}

// acknowledger sends one stream's acknowledgements: when something was written,
// but not more often than every ackInterval, and the last one when the stream
// has ended.
type acknowledger struct {
	in   *intake
	send func(*telemetryv1.StreamResponse) error
	// began is closed at the first batch: before, there is nothing to say.
	began chan struct{}
	// ended gets the last sequence number, once, when the client has ended.
	ended chan uint64
	done  chan struct{}
}

func (a *acknowledger) run(ctx context.Context) {
	defer close(a.done)
	var sent, last uint64
	ended := a.ended
	began := a.began
	var pause <-chan time.Time
	for {
		written, changed := a.in.acknowledged()
		if began == nil && pause == nil && written != sent {
			if a.send(&telemetryv1.StreamResponse{AcknowledgedSequence: written}) != nil {
				return
			}
			sent = written
			if ended != nil {
				pause = time.After(ackInterval)
			}
		}
		if ended == nil && (sent >= last || began != nil) {
			return
		}
		select {
		case <-began:
			began = nil
		case <-changed:
		case <-pause:
			pause = nil
		case last = <-ended:
			ended, pause = nil, nil
		case <-ctx.Done():
			return
		}
	}
}

// rawBatch is a StreamRequest that is still encoded: it is written to the log as
// it came, and decoded one at a time.
type rawBatch struct{ data []byte }

// codec is protobuf's, but for rawBatch, and with a bound on what a Publish may
// decode to.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

// Unmarshal implements encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch v := v.(type) {
	case *rawBatch:
		v.data = data.Materialize()
		return nil
	case *telemetryv1.PublishRequest:
		if n := countFields(data.Materialize(), 1); n > maxPublishValues {
			return status.Errorf(codes.InvalidArgument, "telemetry: the sample has more than %d values", maxPublishValues)
		}
	}
	return c.CodecV2.Unmarshal(data, v)
}

// checkSize refuses a batch that would take much more memory decoded than
// encoded.
func checkSize(raw []byte) error {
	if n := countFields(raw, 1); n > maxValues {
		return status.Errorf(codes.InvalidArgument, "telemetry: the batch has more than %d values and samples; send smaller batches", maxValues)
	}
	return nil
}

// countFields counts the fields of an encoded message that have a length, and
// those of such fields down to depth, without decoding anything. What is not a
// message may be counted as if it were one; what is malformed ends the count.
func countFields(b []byte, depth int) (n int) {
	for len(b) > 0 {
		_, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return n
		}
		b = b[size:]
		if kind != protowire.BytesType {
			if size = protowire.ConsumeFieldValue(1, kind, b); size < 0 {
				return n
			}
			b = b[size:]
			continue
		}
		inner, size := protowire.ConsumeBytes(b)
		if size < 0 {
			return n
		}
		b = b[size:]
		n++
		if depth > 0 {
			n += countFields(inner, depth-1)
		}
	}
	return n
}

// interceptStream and interceptUnary tell a connection that a handler has
// started. A unary handler has read everything by then; Stream says so itself.
func interceptStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if c := connOf(stream.Context()); c != nil {
		c.handlerStarted()
	}
	return handler(srv, stream)
}

func interceptUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if c := connOf(ctx); c != nil {
		c.handlerStarted()
		c.handlerRead()
	}
	return handler(ctx, req)
}

// readAll tells a connection that a stream's handler reads no more.
func readAll(ctx context.Context) {
	if c := connOf(ctx); c != nil {
		c.handlerRead()
	}
}

// unknownMethod refuses a call of a method that does not exist.
func unknownMethod(_ any, stream grpc.ServerStream) error {
	readAll(stream.Context())
	return status.Error(codes.Unimplemented, "telemetry: there is no such method; see lynx.telemetry.v1")
}

func connOf(ctx context.Context) *conn {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	addr, ok := p.Addr.(connAddr)
	if !ok {
		return nil
	}
	return addr.conn
}
