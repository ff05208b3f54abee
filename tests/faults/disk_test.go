//go:build engine

package faults

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

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
	{name: "state_while_running", quick: true, verdict: failed, furnish: smallDisk("state"), strike: fullState},
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
