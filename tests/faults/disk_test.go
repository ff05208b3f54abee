//go:build engine

package faults

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// smallDisk puts one of the site's directories on a file system of its own.
func smallDisk(sub string) func(t *testing.T, s *site) {
	return func(t *testing.T, s *site) { stand.SmallDisk(t, filepath.Join(s.Dir, sub), "16m") }
}

// diskCells fill a disk.
var diskCells = []cell{
	{name: "outputs_before_claim", verdict: kept, furnish: smallDisk("output"), strike: fullBeforeClaim("output", "output_root")},
	{name: "state_before_claim", verdict: kept, furnish: smallDisk("state"), strike: fullBeforeClaim("state", "state_dir")},
	{name: "outputs_while_running", quick: true, verdict: requeued, furnish: smallDisk("output"), strike: fullOutputs},
	{name: "outputs_until_the_end", verdict: requeued, furnish: smallDisk("output"), strike: fullUntilTheEnd(runnerFrozen)},
	{name: "outputs_without_a_runner", verdict: requeued, furnish: smallDisk("output"), strike: fullUntilTheEnd(runnerKilled)},
	{name: "state_while_running", quick: true, verdict: failed, furnish: smallDisk("state"), strike: fullState},
	{name: "telemetry_while_running", quick: true, verdict: requeued, furnish: smallDisk("output"), strike: fullTelemetry},
	{name: "database_longer_than_a_lease", verdict: kept, furnish: ownDisks, strike: fullDatabase},
	{name: "platform_files", verdict: kept, furnish: ownDisks, strike: fullFiles},
	{name: "platform_while_running", quick: true, verdict: kept, furnish: smallDisk("data"), strike: fullPlatform},
}

// fullBeforeClaim: on a full disk nothing is begun, which the runner tells.
func fullBeforeClaim(sub, setting string) func(t *testing.T, s *site, v verdict) {
	return func(t *testing.T, s *site, v verdict) {
		free := stand.Fill(t, filepath.Join(s.Dir, sub))
		s.runner.PausedFor(t, setting)
		batch := s.submit(t, 1, 0)
		if r := s.Results(t, batch)[0]; r.Status != api.JobPending {
			t.Errorf("the job is %s", r.Status)
		}
		free()
		s.finish(t, batch)
		s.judge(t, v, batch, 1)
	}
}

// fullOutputs: the disk of the results, the logs and the telemetry fills in the
// middle of a job, which then cannot write what it has to and fails.
func fullOutputs(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitReady(t, batch, 1)
	first := s.ready(batch)
	free := stand.Fill(t, filepath.Join(s.Dir, "output"))
	release(t, first...)
	s.Eventually(t, "the attempt's end", func() error {
		r := s.Results(t, batch)[0]
		if r.Requeues == 0 && r.CompletedAt == nil {
			return fmt.Errorf("it is %s", r.Status)
		}
		return nil
	})
	s.runner.PausedFor(t, "output_root")
	free()
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// fullUntilTheEnd: a job fails on a full disk, which has space again when the runner,
// which is kept away, comes to know.
func fullUntilTheEnd(away func(t *testing.T, s *site) (back func())) func(t *testing.T, s *site, v verdict) {
	return func(t *testing.T, s *site, v verdict) {
		batch := s.Submit(t, `
simulation: {name: Faults, version: 1.0.0, type: command, command: [/job, '0', '0', '0']}
monte_carlo: {runs: 1, sampling_method: random, seed: 1}
`)
		s.waitReady(t, batch, 1)
		word := filepath.Join(s.ready(batch)[0], "output", "go")
		stand.Must(t, os.WriteFile(word+".1", nil, 0o644)) // that takes space
		back := away(t, s)
		free := stand.Fill(t, filepath.Join(s.Dir, "output"))
		stand.Must(t, os.Rename(word+".1", word))
		s.untilJobsEnd(t)
		free()
		back()
		s.finish(t, batch)
		if r := s.Results(t, batch)[0]; stand.Outcome(r) != v.outcome || r.Requeues != 1 || r.Retries != 0 {
			t.Errorf("%s after %d requeues: %s, warnings %q", stand.Outcome(r), r.Requeues, stand.Message(r), r.Warnings)
		}
	}
}

// runnerFrozen: the runner stands still.
func runnerFrozen(t *testing.T, s *site) (back func()) {
	s.runner.Signal(t, syscall.SIGSTOP)
	return func() { s.runner.Signal(t, syscall.SIGCONT) }
}

// runnerKilled: the runner is killed, and started again.
func runnerKilled(t *testing.T, s *site) (back func()) {
	s.runner.Kill(t)
	return func() { s.runner.Start(t) }
}

// fullState: a job ends while the runner can write down nothing about it.
func fullState(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 3)
	s.waitReady(t, batch, 1)
	free := stand.Fill(t, filepath.Join(s.Dir, "state"))
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
	free()
}

// fullPlatform: the platform's disk is full when a result arrives, and a study.
func fullPlatform(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitReady(t, batch, 1)
	free := stand.Fill(t, filepath.Join(s.Dir, "data"))
	release(t, s.ready(batch)...)
	s.Eventually(t, "the runner's complaint", func() error {
		if !strings.Contains(s.runner.Says(), "cannot deliver a result") {
			return errors.New("there is none")
		}
		return nil
	})
	study := "simulation: {name: Faults, version: 1.0.0, type: command, command: [/job]}\nmonte_carlo: {runs: 2000, sampling_method: random}\n"
	if _, err := s.Client.Submit(t.Context(), []byte(study), "application/yaml"); err == nil {
		t.Error("a full disk took a study")
	} else {
		t.Logf("a study is refused: %v", err)
	}
	free()
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// fullTelemetry: there is no space for a job's telemetry, and there is again when the
// job writes its result: it does not come to know. The series would have a hole.
func fullTelemetry(t *testing.T, s *site, v verdict) {
	const many = 400 // more than the page that the log has already
	batch := s.Submit(t, fmt.Sprintf(`
simulation: {name: Faults, version: 1.0.0, type: command, command: [/job, '0', '0', '%d', '2']}
monte_carlo: {runs: 1, sampling_method: random, seed: 1}
`, many))
	s.waitReady(t, batch, 1)
	first := s.ready(batch)[0]
	// The words are made before, as that takes space; the job knows them by one name.
	word := filepath.Join(first, "output", "go")
	for _, path := range []string{word + ".1", word + ".2"} {
		stand.Must(t, os.WriteFile(path, nil, 0o644))
	}
	free := stand.Fill(t, filepath.Join(s.Dir, "output"))
	stand.Must(t, os.Rename(word+".1", word))
	s.Eventually(t, "the runner's complaint", func() error {
		if !strings.Contains(s.runner.Says(), "telemetry is not stored") {
			return errors.New("there is none")
		}
		return nil
	})
	free()
	stand.Must(t, os.Rename(word+".2", word))
	s.Eventually(t, "the end of the second attempt", func() error {
		for _, dir := range s.ready(batch) {
			if dir != first { // as often as it waits
				_ = os.WriteFile(filepath.Join(dir, "output", "go"), nil, 0o644)
			}
		}
		b, err := s.Client.Batch(t.Context(), batch)
		if err == nil && b.Batch.CompletedAt == nil {
			err = fmt.Errorf("it is %s", b.Batch.Status)
		}
		return err
	})
	r := s.Results(t, batch)[0]
	if stand.Outcome(r) != v.outcome || r.Requeues != 1 || r.Telemetry == nil || r.Telemetry.Samples != 2*many || r.Telemetry.DroppedSamples != 0 {
		t.Errorf("%s after %d requeues, telemetry %+v: %s", stand.Outcome(r), r.Requeues, r.Telemetry, stand.Message(r))
	}
}

// ownDisks puts the platform's database on a disk, and the files that it keeps on
// another.
func ownDisks(t *testing.T, s *site) {
	smallDisk("data")(t, s)
	smallDisk("data/files")(t, s)
}

// fullDatabase: the platform can write down nothing, for longer than a lease, not
// even that it hears its runner.
func fullDatabase(t *testing.T, s *site, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitReady(t, batch, 1)
	free := stand.Fill(t, filepath.Join(s.Dir, "data"))
	time.Sleep(75 * time.Second) // a lease is 60 s
	release(t, s.ready(batch)...)
	s.untilJobsEnd(t)
	free()
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// fullFiles: the platform takes a result and has no space for the files; it gets them
// when it has.
func fullFiles(t *testing.T, s *site, v verdict) {
	free := stand.Fill(t, filepath.Join(s.Dir, "data", "files"))
	batch := s.submit(t, 1, 0)
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
	s.Eventually(t, "the runner's complaint", func() error {
		if !strings.Contains(s.runner.Says(), "cannot send an attempt's files") {
			return errors.New("there is none")
		}
		return nil
	})
	free()
	s.Eventually(t, "the files", func() error {
		if r := s.Results(t, batch)[0]; len(r.Artifacts) == 0 || r.Artifacts[0].URL == "" {
			return errors.New("the platform has not got them")
		}
		return nil
	})
}
