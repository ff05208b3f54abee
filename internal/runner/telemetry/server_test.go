package telemetry

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"

	"github.com/tetryx/lynx-runner/internal/runner/watchdog"
	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

func TestStreamIsLoggedAcknowledgedAndSummed(t *testing.T) {
	cfg := place(t)
	s := serve(t, cfg)
	c := dial(t, cfg.Socket)
	st := c.open(t)
	send(t, st,
		batch(1, sample(0, "orbit.radius_km", 7000, "km"), sample(10, "orbit.radius_km", 6990, "km")),
		batch(2, sample(20, "orbit.radius_km", 7010, "km"), sample(20, "mode", 3, "")))
	awaitAck(t, st, 2)
	if err := st.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Recv(); !errors.Is(err, io.EOF) {
		t.Fatalf("the stream ended with %v, not cleanly", err)
	}
	want := Summary{Samples: 4, Variables: []VariableSummary{
		{Name: "mode", Count: 1, Min: 3, Max: 3, Last: 3},
		{Name: "orbit.radius_km", Unit: "km", Count: 3, Min: 6990, Max: 7010, Last: 7010},
	}}
	if diff := cmp.Diff(want, finish(t, s)); diff != "" {
		t.Error(diff)
	}
	if _, err := os.Lstat(cfg.Socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	samples, _ := readBack(t, cfg.LogPath)
	if len(samples) != 4 || samples[1].GetTimeSeconds() != 10 {
		t.Errorf("log has %v", samples)
	}
}

// A job that sends and dies at once is judged and kept as if it had waited:
// here, the client is gone before the server has read anything. The three ways
// are what clients do: they vanish, cancel, or end the stream and then cancel.
func TestNothingSentIsLostWhenTheClientDies(t *testing.T) {
	const batches = 300
	ways := map[string]func(*rawClient){
		"vanish": func(*rawClient) {},
		"cancel": func(c *rawClient) { c.must(c.framer.WriteRSTStream(1, http2.ErrCodeCancel)) },
		"end and cancel": func(c *rawClient) {
			c.must(c.framer.WriteData(1, true, nil))
			c.must(c.framer.WriteRSTStream(1, http2.ErrCodeCancel))
		},
		"in a message": func(c *rawClient) { c.must(c.framer.WriteData(1, false, []byte{0, 0, 0, 1, 0, 42})) },
		"in a frame":   func(c *rawClient) { c.bytes.Write([]byte{0, 0, 99, 0, 0, 0, 0, 0, 1, 42}) },
	}
	for name, end := range ways {
		t.Run(name, func(t *testing.T) {
			for range 10 {
				cfg := place(t)
				var verdicts atomic.Int32
				cfg.Evaluate = func(s *telemetryv1.Sample) *watchdog.Verdict {
					if s.GetTimeSeconds() < batches {
						return nil
					}
					return &watchdog.Verdict{Kind: watchdog.Breach, Time: s.GetTimeSeconds()}
				}
				cfg.OnVerdict = func(Finding) { verdicts.Add(1) }
				s := serve(t, cfg)
				c := newRawClient(t)
				c.open(1, streamMethod)
				for i := range uint64(batches) {
					c.message(1, batch(i+1, sample(float64(i+1), "x", float64(i), "")), 1<<14)
				}
				end(c)
				c.sendAndVanish(cfg.Socket)
				if sum := finish(t, s); sum.Samples != batches {
					t.Fatalf("kept %d of %d samples", sum.Samples, batches)
				}
				if v, _, ok := s.Verdict(); !ok || v.Time != batches || verdicts.Load() != 1 {
					t.Fatalf("verdict %v (%t), %d calls", v, ok, verdicts.Load())
				}
			}
		})
	}
}
