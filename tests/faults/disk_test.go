//go:build engine

package faults

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/api"
)

// smallDisk puts one of the stand's directories on a file system of its own.
func smallDisk(sub string) func(t *testing.T, s *stand) {
	return func(t *testing.T, s *stand) {
		dir := filepath.Join(s.dir, sub)
		must(t, os.MkdirAll(dir, 0o755))
		must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755,size=16m"))
		t.Cleanup(func() { must(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	}
}

// fill writes a file until the disk is full, and returns what frees the disk again.
func (s *stand) fill(t *testing.T, sub string) (free func()) {
	t.Helper()
	path := filepath.Join(s.dir, sub, "ballast")
	f, err := os.Create(path)
	must(t, err)
	for _, size := range []int{1 << 20, 4096} {
		for err = nil; err == nil; {
			_, err = f.Write(bytes.Repeat([]byte("x"), size))
		}
	}
	must(t, f.Close())
	return func() { must(t, os.Remove(path)) }
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
func fullBeforeClaim(sub, setting string) func(t *testing.T, s *stand, v verdict) {
	return func(t *testing.T, s *stand, v verdict) {
		free := s.fill(t, sub)
		s.pausedFor(t, setting)
		batch := s.submit(t, 1, 0)
		if r := s.results(t, batch)[0]; r.Status != api.JobPending {
			t.Errorf("the job is %s", r.Status)
		}
		free()
		s.finish(t, batch)
		s.judge(t, v, batch, 1)
	}
}

// fullOutputs: the disk of the results, the logs and the telemetry fills in the
// middle of a job, which then cannot write what it has to and fails.
func fullOutputs(t *testing.T, s *stand, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitReady(t, batch, 1)
	first := s.ready(batch)
	free := s.fill(t, "output")
	release(t, first...)
	s.eventually(t, "the attempt's end", func() error {
		r := s.results(t, batch)[0]
		if r.Requeues == 0 && r.CompletedAt == nil {
			return fmt.Errorf("it is %s", r.Status)
		}
		return nil
	})
	s.pausedFor(t, "output_root")
	free()
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}

// fullState: a job ends while the runner can write down nothing about it.
func fullState(t *testing.T, s *stand, v verdict) {
	batch := s.submit(t, 1, 3)
	s.waitReady(t, batch, 1)
	free := s.fill(t, "state")
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
	free()
}

// fullPlatform: the platform's disk is full when a result arrives, and a study.
func fullPlatform(t *testing.T, s *stand, v verdict) {
	batch := s.submit(t, 1, 0)
	s.waitReady(t, batch, 1)
	free := s.fill(t, "data")
	release(t, s.ready(batch)...)
	s.eventually(t, "the runner's complaint", func() error {
		text, err := os.ReadFile(s.dir + "/lynx-runner.log")
		if err == nil && !strings.Contains(string(text), "cannot deliver a result") {
			err = fmt.Errorf("there is none")
		}
		return err
	})
	study := "simulation: {name: Faults, version: 1.0.0, type: command, command: [/job]}\nmonte_carlo: {runs: 2000, sampling_method: random}\n"
	if _, err := s.client.Submit(t.Context(), []byte(study), "application/yaml"); err == nil {
		t.Error("a full disk took a study")
	} else {
		t.Logf("a study is refused: %v", err)
	}
	free()
	s.finish(t, batch)
	s.judge(t, v, batch, 1)
}
