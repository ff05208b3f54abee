package executortest

import (
	"testing"
)

// limits are about the limits of memory, processes and file sizes.
var limits = map[string]func(*testing.T, *bench){
	"out of memory, main process":  oomMain,
	"out of memory, child only":    oomChild,
	"fork bomb":                    forkBomb,
	"a file beyond the size limit": bigFile,
}

const tightMemory = 96 << 20

func oomMain(t *testing.T, b *bench) {
	a := b.attempt("oom", "main")
	a.Sandbox = a.Sandbox.WithMemory(tightMemory)
	x := b.run(a)
	if x.OOM.Killed == 0 || x.OOM.Limit != tightMemory {
		t.Errorf("the evidence is %+v, want a process killed at a limit of %d", x.OOM, tightMemory)
	}
	if !x.Known || x.Signal != 9 || x.ExternalKill {
		t.Errorf("got %+v, want signal 9", x)
	}
	if x.Usage.PeakMemory < tightMemory*9/10 {
		t.Errorf("the peak is %d, want about the limit, %d", x.Usage.PeakMemory, tightMemory)
	}
}

func oomChild(t *testing.T, b *bench) {
	a := b.attempt("oom", "child")
	a.Sandbox = a.Sandbox.WithMemory(tightMemory)
	x := b.run(a)
	if x.OOM.Killed == 0 {
		t.Errorf("the evidence is %+v, want a process killed", x.OOM)
	}
	if !x.Known || x.Code != 0 || x.Signal != 0 {
		t.Errorf("got %+v, want code 0: the main process went on", x)
	}
}

func forkBomb(t *testing.T, b *bench) {
	a := b.attempt("fork-bomb")
	a.Sandbox = a.Sandbox.WithPids(128)
	h := b.start(a)
	b.ready(a) // the limit was met
	if n := len(a.processes()); n == 0 || n > 128 {
		t.Errorf("%d processes under a limit of 128", n)
	}
	b.kill(h)
	if p := a.processes(); len(p) > 0 {
		t.Errorf("processes live after Kill returned: %v", p)
	}
	if x := b.wait(h); x.ExternalKill {
		t.Errorf("got %+v: the shim did not survive the bomb", x)
	}
}

func bigFile(t *testing.T, b *bench) {
	a := b.attempt("big-file")
	for i, l := range a.Sandbox.Rlimits {
		if l.Type == "RLIMIT_FSIZE" {
			a.Sandbox.Rlimits[i].Hard, a.Sandbox.Rlimits[i].Soft = 4<<20, 4<<20
		}
	}
	if x := b.run(a); x.Code == 0 {
		t.Errorf("got %+v, want a failure at the file size limit", x)
	}
}
