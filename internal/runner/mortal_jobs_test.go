package runner

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tetryx/lynx-runner/executor"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// sends streams samples as the SDK does: numbered, and again on a new stream until
// they are acknowledged. It returns when all are, or ctx ends.
func (p *program) sends(ctx context.Context, first, last int, value func(i int) float64) {
	acknowledged := uint64(first - 1)
	for acknowledged < uint64(last) && ctx.Err() == nil {
		acknowledged = max(acknowledged, p.streams(ctx, acknowledged, uint64(last), value))
		sleep(ctx, 5*time.Millisecond)
	}
}

// streams is one stream, to its end.
func (p *program) streams(ctx context.Context, from, last uint64, value func(i int) float64) (acknowledged uint64) {
	conn, err := grpc.NewClient("unix://"+filepath.Join(p.spec.RuntimeDir, executor.TelemetrySocket), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.t.Error(err)
		return 0
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := telemetryv1.NewTelemetryServiceClient(conn).Stream(ctx)
	if err != nil {
		return 0
	}
	for i := from + 1; i <= last; i++ {
		sample := &telemetryv1.Sample{TimeSeconds: float64(i), Values: []*telemetryv1.Value{{Name: "orbit.radius_km", Value: value(int(i)), Unit: "km"}}}
		if stream.Send(&telemetryv1.StreamRequest{Sequence: i, Samples: []*telemetryv1.Sample{sample}}) != nil {
			break
		}
	}
	for acknowledged < last {
		answer, err := stream.Recv()
		if err != nil {
			return acknowledged
		}
		acknowledged = answer.GetAcknowledgedSequence()
	}
	return acknowledged
}

func high(int) float64 { return 7000 }

// steady is a job that sends ten samples and waits to be told before ten more.
func steady(halfway chan<- struct{}, goOn <-chan struct{}, exit int) func(context.Context, *program) executor.Exit {
	return func(ctx context.Context, p *program) executor.Exit {
		p.sends(ctx, 1, 10, high)
		close(halfway)
		select {
		case <-goOn:
		case <-ctx.Done():
			return signaled(9)
		}
		p.sends(ctx, 11, 20, high)
		p.log("stdout.log", "done\n")
		return exited(exit)
	}
}

// Whenever runners are killed, each job that was started has its own end, told once,
// and each that was not is given back.
func TestKilledAtAnyTime(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	draw := rand.New(rand.NewPCG(seed, 0))
	for round := range 4 {
		const jobs = 6
		m := newMortal(t)
		ends := map[string]string{}
		m.executor.script = func(ctx context.Context, p *program) executor.Exit {
			var i int
			fmt.Sscanf(p.spec.AttemptID, "job%d-1", &i)
			p.sends(ctx, 1, 5+i, high)
			return exited(i % 2)
		}
		for i := range uint64(jobs) {
			m.platform.submit(assignment(fmt.Sprintf("job%d", i), i))
			ends[fmt.Sprintf("job%d-1", i)] = []string{"completed", "nonzero_exit"}[i%2]
		}
		var beats int
		for life := range 4 {
			var before int
			m.platform.change(func() { before, beats = len(m.platform.registers), len(m.platform.heartbeats) })
			m.live()
			m.platform.await("a registration", func() bool { return len(m.platform.registers) > before })
			if life < 3 {
				time.Sleep(time.Duration(draw.IntN(60)) * time.Millisecond)
				m.die()
			}
		}
		m.platform.await("every job to be settled", func() bool {
			if len(m.platform.queue) > 0 || len(m.platform.heartbeats) <= beats {
				return false
			}
			held := m.platform.heartbeats[len(m.platform.heartbeats)-1].GetHeld()
			return !slices.ContainsFunc(held, func(r *runnerv1.AttemptRef) bool { return ends[r.GetAttemptId()] != "" })
		})
		m.rest()
		for id, want := range ends {
			result, h := m.platform.results[id], m.executor.handle(id)
			switch {
			case h == nil && result == nil: // it was not even written down: the platform misses it
			case h == nil && strings.Contains(result.GetErrorMessage(), "runner_restart"):
			case result.GetOutcome() != want || result.GetTelemetry().GetSamples() == 0:
				t.Errorf("round %d: %s: %v, want %s; started %v", round, id, result, want, h != nil)
			}
			if result != nil {
				m.inOrder(result)
			}
		}
	}
}
