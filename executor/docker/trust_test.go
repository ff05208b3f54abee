package docker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/internal/shim"
)

// TestReportOfAHastyShim has the shim end together with its report, as it does
// when the runner was kept from acknowledging it: what it said counts all the
// same.
func TestReportOfAHastyShim(t *testing.T) {
	d := newDaemon(t)
	d.init = fakeInit{Report: &shim.ExitReport{Code: 139, Signal: 11}, Code: 139, Hasty: true}
	e := d.executor()
	for i := range 40 {
		spec := testSpec(t)
		spec.AttemptID = fmt.Sprintf("job-%d", i)
		h := mustStart(t, e, spec)
		d.release(spec.AttemptID)
		if x := mustWait(t, h); x.Signal != 11 || !x.Known {
			t.Fatalf("attempt %d: got %+v, want signal 11", i, x)
		}
		if err := h.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPIDOfAnotherMachine runs a container whose pid, as the engine counts, is
// here that of somebody else's process: that must neither be killed nor be taken
// for the container.
func TestPIDOfAnotherMachine(t *testing.T) {
	d := newDaemon(t)
	d.init = fakeInit{Report: report(0)}
	bystander := sleeper(t)
	d.shownPID = bystander.Process.Pid
	e := d.executor()
	e.open = openInit
	h := mustStart(t, e, testSpec(t))
	if h.init != nil {
		t.Error("a process that is in no cgroup of the container is taken for its init")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := h.Kill(ctx); err != nil {
		t.Error(err)
	}
	mustWait(t, h)
	if pid, err := unix.Wait4(bystander.Process.Pid, nil, unix.WNOHANG, nil); pid != 0 || err != nil {
		t.Errorf("the bystander has ended: %d, %v", pid, err)
	}
}

// TestRecoverOfForgedLabels has a person run an image whose labels say that its
// containers are this runner's: they are nobody's to kill, and the directory that
// they name is nobody's to clean.
func TestRecoverOfForgedLabels(t *testing.T) {
	d := newDaemon(t)
	dir := writeFiles(t, map[string]string{shimConfigFile: "a person's"})
	labels := map[string]string{labelRunner: "runner-a", labelAttempt: "job-1", labelRuntimeDir: dir}
	d.containers["busy_bell"] = &fakeContainer{id: "busy", name: "busy_bell", labels: labels, status: "exited"}
	handles, err := d.executor().Recover(t.Context())
	if err != nil || len(handles) > 0 {
		t.Errorf("recovered %v, %v", handles, err)
	}
}
