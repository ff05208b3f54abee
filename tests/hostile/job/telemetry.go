package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

var _ = register(map[string]func(){
	"telemetry_garbage":  telemetryGarbage,
	"telemetry_reset":    func() { flood(rapidReset) },
	"telemetry_settings": func() { flood(settingsFlood) },
	"telemetry_headers":  func() { flood(headerFlood) },
	"telemetry_many":     telemetryMany,
	"telemetry_names":    telemetryNames,
	"telemetry_values":   telemetryValues,
	"telemetry_watched":  telemetryWatched,
	"telemetry_identity": telemetryIdentity,
	"telemetry_sequence": telemetrySequence,
	"telemetry_half":     telemetryHalf,
})

func target() string { return os.Getenv("TETRYX_TELEMETRY_TARGET") }

// client connects to the telemetry port.
func client() telemetryv1.TelemetryServiceClient {
	conn, err := grpc.NewClient("passthrough:///"+target(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	must(err)
	return telemetryv1.NewTelemetryServiceClient(conn)
}

func sample(t float64, name string, v float64) *telemetryv1.Sample {
	return &telemetryv1.Sample{TimeSeconds: t, Values: []*telemetryv1.Value{{Name: name, Value: v}}}
}

// publishSoon publishes a sample, and tries again while connections are refused.
func publishSoon(name string, v float64) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var err error
	for ctx.Err() == nil {
		_, err = client().Publish(ctx, &telemetryv1.PublishRequest{Sample: sample(1, name, v)})
		if status.Code(err) != codes.Unavailable {
			return err
		}
	}
	return err
}

// telemetryGarbage says things that are no HTTP/2.
func telemetryGarbage() {
	noise := make([]byte, 1<<20)
	_, _ = rand.Read(noise)
	for _, text := range [][]byte{
		noise, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), []byte(http2.ClientPreface), append([]byte(http2.ClientPreface), noise...),
		bytes.Repeat([]byte("\r\n"), 1<<16), {}, {0},
	} {
		c, err := net.Dial("tcp", target())
		must(err)
		_, _ = c.Write(text)
		_ = c.(*net.TCPConn).CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	conn, err := grpc.NewClient("passthrough:///"+target(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	err = conn.Invoke(context.Background(), "/lynx.runner.v1.RunnerService/Register", &telemetryv1.PublishRequest{}, &telemetryv1.PublishResponse{})
	try("call the platform's service here", err)
	try("a sample after garbage", publishSoon("after", 1))
}

// flood has four connections do something for a while, and then wants to be
// served all the same.
func flood(one func(c net.Conn, until time.Time)) {
	until := time.Now().Add(1500 * time.Millisecond)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for time.Now().Before(until) {
				c, err := net.Dial("tcp", target())
				if err != nil {
					continue
				}
				go func() { _, _ = io.Copy(io.Discard, c) }()
				_ = c.SetDeadline(until)
				_, _ = io.WriteString(c, http2.ClientPreface)
				one(c, until)
				_ = c.Close()
			}
		})
	}
	all.Wait()
	try("a sample after a flood", publishSoon("after", 1))
}

func requestHeaders() []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, h := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", "/lynx.telemetry.v1.TelemetryService/Stream"}, {":authority", "x"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		must(e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}))
	}
	return b.Bytes()
}

// rapidReset opens calls and takes them back at once (CVE-2023-44487).
func rapidReset(c net.Conn, _ time.Time) {
	f := http2.NewFramer(c, nil)
	_ = f.WriteSettings()
	headers := requestHeaders()
	for id := uint32(1); id < 1<<30; id += 2 {
		if f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers, EndHeaders: true}) != nil {
			return
		}
		if f.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			return
		}
	}
}

// settingsFlood sends what must be answered, and pings in between.
func settingsFlood(c net.Conn, _ time.Time) {
	f := http2.NewFramer(c, nil)
	for {
		if f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1}) != nil || f.WritePing(false, [8]byte{}) != nil ||
			f.WriteWindowUpdate(0, 1) != nil {
			return
		}
	}
}

// headerFlood sends a header that never ends (CVE-2023-45288).
func headerFlood(c net.Conn, _ time.Time) {
	f := http2.NewFramer(c, nil)
	_ = f.WriteSettings()
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := range 200 {
		must(e.WriteField(hpack.HeaderField{Name: fmt.Sprintf("x-%d", i), Value: strings.Repeat("v", 60)}))
	}
	part := b.Bytes()[:min(b.Len(), 16<<10)]
	if f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: requestHeaders()}) != nil {
		return
	}
	for f.WriteContinuation(1, false, part) == nil {
	}
}

// send streams batches and returns how the stream ended, when the runner has
// ended it or acknowledged everything.
func send(batches func(yield func(*telemetryv1.StreamRequest) bool)) (acknowledged uint64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	stream, err := client().Stream(ctx)
	if err != nil {
		return 0, err
	}
	go func() {
		for b := range batches {
			if stream.Send(b) != nil {
				return
			}
		}
		_ = stream.CloseSend()
	}()
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return acknowledged, nil
		}
		if err != nil {
			return acknowledged, err
		}
		acknowledged = r.GetAcknowledgedSequence()
	}
}

func only(requests ...*telemetryv1.StreamRequest) func(func(*telemetryv1.StreamRequest) bool) {
	return func(yield func(*telemetryv1.StreamRequest) bool) {
		for _, r := range requests {
			if !yield(r) {
				return
			}
		}
	}
}

// manySamples is how many telemetryMany sends.
const manySamples = 2_000_000

// telemetryMany sends two million samples as fast as it can.
func telemetryMany() {
	const perBatch = 20_000
	all := make([]*telemetryv1.Sample, perBatch)
	for i := range all {
		all[i] = sample(float64(i), "x", float64(i))
	}
	acknowledged, err := send(func(yield func(*telemetryv1.StreamRequest) bool) {
		for n := uint64(1); n <= manySamples/perBatch; n++ {
			if !yield(&telemetryv1.StreamRequest{Sequence: n, Samples: all}) {
				return
			}
		}
	})
	try("a stream of two million samples", err)
	holds("every batch acknowledged", acknowledged == manySamples/perBatch)
}

// telemetryNames sends more names, and longer ones, than anybody wants to keep.
func telemetryNames() {
	_, err := send(only(&telemetryv1.StreamRequest{Sequence: 1, Samples: []*telemetryv1.Sample{sample(0, strings.Repeat("n", 1<<20), 1)}}))
	try("a name of a mebibyte", err)
	_, err = send(only(&telemetryv1.StreamRequest{Sequence: 1, Samples: []*telemetryv1.Sample{sample(0, strings.Repeat("n", 201), 1)}}))
	try("a name of 201 bytes", err)
	_, err = send(only(&telemetryv1.StreamRequest{Sequence: 1, Samples: []*telemetryv1.Sample{sample(0, "", 1)}}))
	try("an empty name", err)
	_, err = send(func(yield func(*telemetryv1.StreamRequest) bool) {
		for n := range uint64(100) {
			r := &telemetryv1.StreamRequest{Sequence: n + 1}
			for i := range 1000 {
				r.Samples = append(r.Samples, sample(float64(n), fmt.Sprintf("v%d", int(n)*1000+i), 1))
			}
			if !yield(r) {
				return
			}
		}
	})
	try("a hundred thousand names", err)
}

// telemetryValues sends numbers that are none, and time that goes back.
func telemetryValues() {
	_, err := send(only(&telemetryv1.StreamRequest{Sequence: 1, Samples: []*telemetryv1.Sample{
		sample(1, "a", math.NaN()), sample(2, "a", math.Inf(1)), sample(1, "a", math.Inf(-1)), sample(-1e300, "a", math.MaxFloat64),
		sample(math.NaN(), "a", 1), sample(math.Inf(1), "a", 5e-324), sample(0, "a", math.Copysign(0, -1)), {}, {TimeSeconds: 1, Values: []*telemetryv1.Value{{}}},
	}}))
	try("numbers that are none", err)
	try("a name that draws", publishSoon("\x1b[31m=cmd()\n", 1))
}

// telemetryWatched has a condition's variable be no number.
func telemetryWatched() {
	_ = publishSoon("watched", math.NaN()) // nobody is left to hear of it
	pause()
}

// telemetryIdentity sends in another attempt's name.
func telemetryIdentity() {
	var config struct {
		JobID string `json:"job_id"`
	}
	data, err := os.ReadFile(os.Getenv("TETRYX_RUN_CONFIG"))
	must(err)
	must(json.Unmarshal(data, &config))
	for _, id := range []string{"somebody-1", config.JobID + "-2", config.JobID, strings.Repeat("x", 100_000), "\x00"} {
		_, err := client().Publish(context.Background(), &telemetryv1.PublishRequest{AttemptId: id, Sample: sample(1, "stolen", 1)})
		try(fmt.Sprintf("publish as %.12q", strings.Replace(id, config.JobID, "JOB", 1)), err)
		_, err = send(only(&telemetryv1.StreamRequest{AttemptId: id, Sequence: 1, Samples: []*telemetryv1.Sample{sample(1, "stolen", 1)}}))
		try(fmt.Sprintf("stream as %.12q", strings.Replace(id, config.JobID, "JOB", 1)), err)
	}
	_, err = client().Publish(context.Background(), &telemetryv1.PublishRequest{AttemptId: config.JobID + "-1", Sample: sample(1, "own", 1)})
	try("publish as itself", err)
}

// telemetrySequence numbers its batches as it likes.
func telemetrySequence() {
	batch := func(n uint64) *telemetryv1.StreamRequest {
		return &telemetryv1.StreamRequest{Sequence: n, Samples: []*telemetryv1.Sample{sample(float64(n), "x", 1)}}
	}
	_, err := send(only(batch(1), batch(1), batch(1), batch(2)))
	try("the same number again and again", err)
	_, err = send(only(batch(1), batch(2)))
	try("everything once more", err)
	_, err = send(only(batch(0)))
	try("the number 0", err)
	_, err = send(only(batch(1000)))
	try("a thousand numbers skipped", err)
	_, err = send(only(batch(math.MaxUint64), batch(3)))
	try("the last number there is", err)
	_, err = send(only(&telemetryv1.StreamRequest{Sequence: 4, ClientDroppedSamples: math.MaxUint64}))
	try("more samples dropped than there can be", err)
}

// telemetryHalf opens every stream that it may, says half a message on each, and
// ends without closing any.
func telemetryHalf() {
	headers := requestHeaders()
	for range 16 {
		c, err := net.Dial("tcp", target())
		must(err)
		_, _ = io.WriteString(c, http2.ClientPreface)
		f := http2.NewFramer(c, nil)
		_ = f.WriteSettings()
		for id := uint32(1); id < 9; id += 2 {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers, EndHeaders: true})
			_ = f.WriteData(id, false, append([]byte{0, 0, 15, 255, 0}, make([]byte, 1000)...))
		}
	}
	done("leave 64 streams half open")
}
