package runner

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// sharing makes an assignment whose batch asks for isolation: batch.
func sharing(a *runnerv1.Assignment) *runnerv1.Assignment {
	a.Compute.Isolation = config.IsolationBatch
	return a
}

// sharingBench is a runner that allows it.
func sharingBench(t *testing.T) *bench {
	b := newBench(t)
	b.cfg.Sandbox.Isolation = []string{config.IsolationJob, config.IsolationBatch}
	b.cfg.Preload = []string{"numpy"}
	return b
}

// elsewhere has a job write while its directories are not where they belong.
func elsewhere(t *testing.T, b *bench, work func(ctx context.Context, output, log string)) func(context.Context, *program) executor.Exit {
	return func(ctx context.Context, p *program) executor.Exit {
		output, log := filepath.Join(b.cfg.OutputRoot, ".out"), filepath.Join(b.cfg.OutputRoot, ".log")
		if err := errors.Join(os.Rename(p.spec.OutputDir, output), os.Rename(p.spec.LogDir, log)); err != nil {
			t.Error(err)
		}
		work(ctx, output, log)
		if err := errors.Join(os.Rename(output, p.spec.OutputDir), os.Rename(log, p.spec.LogDir)); err != nil {
			t.Error(err)
		}
		return exited(0)
	}
}

// What the executor is told of a job that shares, and that its files are found
// although they were elsewhere while it ran.
func TestSharing(t *testing.T) {
	b := sharingBench(t)
	var spec executor.Spec
	work := elsewhere(t, b, func(_ context.Context, output, log string) {
		if err := errors.Join(os.WriteFile(filepath.Join(output, "a.csv"), []byte("1"), 0o644),
			os.WriteFile(filepath.Join(log, "stderr.log"), []byte("a word\n"), 0o644)); err != nil {
			t.Error(err)
		}
	})
	b.executor.script = func(ctx context.Context, p *program) executor.Exit {
		spec = p.spec
		return work(ctx, p)
	}
	result := runOne(t, b, sharing(assignment("job", 17)))
	if result.GetOutcome() != "completed" || len(result.GetArtifacts()) != 1 || result.GetArtifacts()[0].GetName() != "a.csv" {
		t.Fatalf("result %v", result)
	}
	if s := spec.Shared; s == nil || s.Code == "" || s.MaxJobs != sharedJobs || s.Idle != sharedIdle ||
		!cmp.Equal(s.Server, []string{"/usr/bin/python3", "-m", "lynx_sdk.forkserver", "--preload=numpy", "--"}) {
		t.Errorf("shared: %+v", s)
	}
	want := map[string]any{"mode": "batch", "exit_reported_by": "shim"}
	if diff := cmp.Diff(want, readManifest(t, result)["isolation"]); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
}

// What is written where the directories are meanwhile counts to its limit.
func TestSharingOutputLimit(t *testing.T) {
	b := sharingBench(t)
	b.executor.script = elsewhere(t, b, func(ctx context.Context, output, _ string) {
		if err := os.WriteFile(filepath.Join(output, "large"), make([]byte, 2<<20), 0o644); err != nil {
			t.Error(err)
		}
		<-ctx.Done() // killed
	})
	if result := runOne(t, b, sharing(assignment("job", 0))); result.GetOutcome() != "output_limit" {
		t.Errorf("result %v", result)
	}
}

// A job that does not ask has a container of its own, wherever sharing is allowed.
func TestNotSharing(t *testing.T) {
	for _, isolation := range []string{"", config.IsolationJob} {
		b := sharingBench(t)
		b.executor.script = func(_ context.Context, p *program) executor.Exit {
			if p.spec.Shared != nil {
				t.Errorf("isolation %q: shared: %+v", isolation, p.spec.Shared)
			}
			return exited(0)
		}
		a := assignment("job", 17)
		a.Compute.Isolation = isolation
		result := runOne(t, b, a)
		if diff := cmp.Diff(map[string]any{"mode": "job"}, readManifest(t, result)["isolation"]); diff != "" {
			t.Errorf("manifest (-want +got):\n%s", diff)
		}
	}
}

// Who can't share says why, and what to do.
func TestSharingRefused(t *testing.T) {
	for says, b := range map[string]*bench{
		`this runner allows ["job"] (sandbox.isolation`: func() *bench {
			b := sharingBench(t)
			b.cfg.Sandbox.Isolation = []string{config.IsolationJob}
			return b
		}(),
		"engine command has none": func() *bench {
			b := commandBench(t, config.ExecutorDocker)
			b.cfg.Sandbox.Isolation = []string{config.IsolationJob, config.IsolationBatch}
			return b
		}(),
	} {
		a := sharing(assignment("job", 0))
		if len(b.cfg.Commands) > 0 {
			a.Simulation.Type = "lander"
		}
		if result := runOne(t, b, a); result.GetOutcome() != "invalid_job" || !strings.Contains(result.GetErrorMessage(), says) {
			t.Errorf("want %q: %s: %s", says, result.GetOutcome(), result.GetErrorMessage())
		}
	}
}
