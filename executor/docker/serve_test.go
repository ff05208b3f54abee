package docker

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/mount"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/shim"
)

// A container that serves differs from another in nothing but where its logs lie and
// what its shim is told.
func TestServeRequest(t *testing.T) {
	e := newDaemon(t).executor()
	spec := testSpec(t)
	own, err := e.translate(spec, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec.Serve = true
	serving, err := e.translate(spec, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(own.Mounts, func(m mount.Mount) bool { return m.Target == executor.ContainerLog })
	if i < 0 {
		t.Fatal("no log mount")
	}
	own.Mounts = slices.Delete(own.Mounts, i, i+1)
	if diff := cmp.Diff(own, serving); diff != "" {
		t.Errorf("a container of its own and one that serves (-own +serving):\n%s", diff)
	}
	was, is := shimConfig(testSpec(t)), shimConfig(spec)
	if !is.Serve || is.Report != "" || is.Stdout != "/lynx/output/log/stdout.log" || is.Stderr != "/lynx/output/log/stderr.log" {
		t.Errorf("the shim is told %+v", is)
	}
	is.Serve, is.Report, is.Stdout, is.Stderr = was.Serve, was.Report, was.Stdout, was.Stderr
	if diff := cmp.Diff(was, is); diff != "" {
		t.Errorf("the shim is told otherwise (-own +serving):\n%s", diff)
	}
}

// An attempt that wants to share is not started in a container of its own.
func TestSharedIsRefused(t *testing.T) {
	spec := testSpec(t)
	spec.Shared = &executor.Shared{}
	if _, err := newDaemon(t).executor().Start(t.Context(), spec); !errors.Is(err, executor.ErrInvalidSpec) {
		t.Errorf("error %v", err)
	}
}

// What a shim says of a job, in the executor's terms.
func TestServedNews(t *testing.T) {
	if n := servedNews(shim.Message{Type: shim.MessageJobStarted}); n.Ended != nil {
		t.Errorf("a start is %+v", n)
	}
	report := shim.ExitReport{
		Code: 139, Signal: 11, CPUMicros: 2e6, WallMicros: 3e6, MaxRSSBytes: 5,
		Stdout: shim.LogReport{Written: 7, Dropped: 1},
	}
	n := servedNews(shim.Message{Type: shim.MessageJobEnded, Job: &shim.JobReport{Exit: report, Odd: "odd"}})
	want := executor.ServedEnd{Odd: "odd", Exit: executor.Exit{
		Code: 139, Signal: 11, Known: true,
		Usage: executor.Usage{Wall: 3 * time.Second, CPU: 2 * time.Second, PeakMemory: 5},
		Logs:  executor.Logs{Stdout: executor.LogStat{Written: 7, Dropped: 1}},
	}}
	if diff := cmp.Diff(&want, n.Ended); diff != "" {
		t.Errorf("the end (-want +got):\n%s", diff)
	}
	failed := servedNews(shim.Message{Job: &shim.JobReport{Exit: shim.ExitReport{Code: 125, SetupError: "no log"}}})
	if failed.Ended.Exit.Known || len(failed.Ended.Exit.Notes) == 0 {
		t.Errorf("a job that could not be started: %+v", failed.Ended.Exit)
	}
}
