package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tetryx/lynx-runner/api"
)

// telemetryRow compares how fast samples of seven variables leave a container and
// are watched and stored, with the same client on the host and a gRPC server on
// loopback that does nothing with them.
func telemetryRow(ctx context.Context, w *world, o options) (_ []line, err error) {
	r, err := w.runner(ctx, "docker", 1, w.benchJobs("docker")...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.stop()) }()
	peer, err := w.receiver("receive")
	if err != nil {
		return nil, err
	}
	defer peer.close()
	var lines []line
	for _, batch := range []int{1, 100} {
		samples := o.samples
		if batch == 1 {
			samples = max(1, samples/4)
		}
		samples -= samples % batch
		var ours, peers []float64
		for range o.reps {
			runs, _, err := w.run(ctx, sendStudy(samples, batch), api.OutcomeCompleted)
			if err != nil {
				return nil, err
			}
			if t := runs[0].Telemetry; t == nil || t.Samples != uint64(samples) {
				return nil, fmt.Errorf("of %d samples these were kept: %+v", samples, t)
			}
			ours = append(ours, runs[0].Metrics["samples_per_second"]/1000)
			metrics, err := w.sendTo(ctx, peer, "send", samples, batch)
			if err != nil {
				return nil, err
			}
			peers = append(peers, metrics["samples_per_second"]/1000)
		}
		ratio := ratios(ours, peers)
		lines = append(lines, line{
			what:  fmt.Sprintf("telemetry through the container's port, %d to a message, against bare gRPC on loopback", batch),
			bound: "≥ 0.5 ×", ours: spread(ours, "%.0f", "k samples/s"), peer: spread(peers, "%.0f", "k samples/s"),
			held: holds(median(ratio) >= 0.5, spread(ratio, "%.2f", "×")),
		})
	}
	return lines, nil
}

// receiver is the bare server.
type receiver struct {
	cmd     *exec.Cmd
	address string
}

// receiver starts a bare server, which is told which one.
func (w *world) receiver(mode string) (*receiver, error) {
	r := &receiver{cmd: exec.Command(w.path("work/job"), mode)}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		r.close()
		return nil, fmt.Errorf("the bare server does not say where it listens: %w", err)
	}
	r.address = strings.TrimSpace(said)
	return r, nil
}

func (r *receiver) close() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

// sendTo lets the job's program send to a bare server, and returns its metrics.
func (w *world) sendTo(ctx context.Context, r *receiver, mode string, samples, batch int) (map[string]float64, error) {
	dir := w.path("bare")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "run_config.json")
	text := fmt.Sprintf(`{"parameters": {"samples": %d, "batch": %d}}`, samples, batch)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, w.path("work/job"), mode)
	cmd.Env = []string{"TETRYX_RUN_CONFIG=" + config, "TETRYX_OUTPUT_DIR=" + dir, "TETRYX_TELEMETRY_TARGET=" + r.address}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("sending to the bare server: %w: %s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "summary.json"))
	if err != nil {
		return nil, err
	}
	var metrics map[string]float64
	err = json.Unmarshal(data, &metrics)
	return metrics, err
}
