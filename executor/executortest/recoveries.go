package executortest

import (
	"sync"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/executor"
)

// recoveries are about a runner that comes back, and about starting an attempt
// again.
var recoveries = map[string]func(*testing.T, *bench){
	"Recover of a running attempt":                recoverRunning,
	"Recover of one that ended with the runner":   recoverEnded,
	"Recover of one that ended without a runner":  recoverEndedAway,
	"Recover, then a signal":                      recoverThenSignal,
	"Recover in the same process":                 recoverOwn,
	"Recover of nothing":                          recoverNothing,
	"Recover after too long":                      recoverTooLate,
	"Start twice":                                 startTwice,
	"Start at once":                               startAtOnce,
	"Start again by another process":              startByAnother,
	"Start again by another process after an end": startEnded,
}

// one wants exactly one handle, of the attempt.
func (b *bench) one(hs []executor.Handle, a *attempt) executor.Handle {
	b.t.Helper()
	if len(hs) != 1 || hs[0].AttemptID() != a.AttemptID {
		b.t.Fatalf("recovered %v, want one handle to %s", hs, a.AttemptID)
	}
	return hs[0]
}

// leave closes the case's executor, as a runner that ends does.
func (b *bench) leave() {
	b.t.Helper()
	if err := b.exec.Close(); err != nil {
		b.t.Error(err)
	}
}

func recoverRunning(t *testing.T, b *bench) {
	a := b.attempt("await", "exit", "7")
	b.start(a)
	b.ready(a)
	b.leave()
	h := b.one(b.recover(b.another()), a)
	if p := a.processes(); len(p) != 1 {
		t.Fatalf("closing and recovering touched the job: its processes are %v", p)
	}
	b.release(a)
	if x := b.wait(h); !x.Known || x.Code != 7 || x.ExternalKill {
		t.Errorf("got %+v, want code 7", x)
	}
}

func recoverEnded(t *testing.T, b *bench) {
	a := b.attempt("exit", "7")
	b.wait(b.start(a))
	b.leave()
	if x := b.wait(b.one(b.recover(b.another()), a)); !x.Known || x.Code != 7 || x.ExternalKill {
		t.Errorf("got %+v, want code 7", x)
	}
}

func recoverEndedAway(t *testing.T, b *bench) {
	a := b.attempt("await", "exit", "7")
	b.start(a)
	b.ready(a)
	b.leave()
	b.release(a)
	b.until("the job's end", func() bool { return len(a.processes()) == 0 })
	if x := b.wait(b.one(b.recover(b.another()), a)); !x.Known || x.Code != 7 || x.ExternalKill {
		t.Errorf("got %+v, want code 7", x)
	}
}

func recoverThenSignal(t *testing.T, b *bench) {
	a := b.attempt("await", "kill-self", "15")
	b.start(a)
	b.ready(a)
	b.leave()
	h := b.one(b.recover(b.another()), a)
	b.release(a)
	if x := b.wait(h); !x.Known || x.Signal != 15 || x.ExternalKill {
		t.Errorf("got %+v, want signal 15: the shim finds a recovered runner", x)
	}
}

// recoverTooLate: a job that may go on without its runner for a while is ended by
// its shim after that, which nobody takes for an end of its own.
func recoverTooLate(t *testing.T, b *bench) {
	a := b.attempt("await", "exit", "7")
	a.RunnerLoss = 200 * time.Millisecond
	b.start(a)
	b.ready(a)
	b.leave()
	b.until("the job's end", func() bool { return len(a.processes()) == 0 })
	x := b.wait(b.one(b.recover(b.another()), a))
	if x.Known && x.Signal != 9 || x.DeadlineKill {
		t.Errorf("got %+v, want SIGKILL, or that nobody knows", x)
	}
}

func recoverOwn(t *testing.T, b *bench) {
	a := b.attempt("await", "exit", "7")
	b.start(a)
	h := b.one(b.recover(b.exec), a)
	b.release(a)
	if x := b.wait(h); x.Code != 7 {
		t.Errorf("got %+v", x)
	}
}

func recoverNothing(t *testing.T, b *bench) {
	if hs := b.recover(b.exec); len(hs) > 0 {
		t.Errorf("recovered %d attempts of a new runner", len(hs))
	}
}

func startTwice(t *testing.T, b *bench) {
	a := b.attempt("await", "exit", "8")
	b.start(a)
	b.ready(a)
	h := b.start(a)
	if p := a.processes(); len(p) != 1 {
		t.Errorf("processes after the second Start: %v, want one", p)
	}
	b.release(a)
	if x := b.wait(h); x.Code != 8 {
		t.Errorf("got %+v", x)
	}
	if x := b.wait(b.start(a)); x.Code != 8 {
		t.Errorf("Start after the end: %+v, want the result that is there", x)
	}
}

func startAtOnce(t *testing.T, b *bench) {
	a := b.attempt("await", "exit", "8")
	var wg sync.WaitGroup
	handles := make([]executor.Handle, 4)
	for i := range handles {
		wg.Go(func() { handles[i] = b.start(a) })
	}
	wg.Wait()
	b.ready(a)
	if p := a.processes(); len(p) != 1 {
		t.Errorf("processes: %v, want one", p)
	}
	b.release(a)
	for _, h := range handles {
		if x := b.wait(h); x.Code != 8 {
			t.Errorf("got %+v", x)
		}
	}
}

func startByAnother(t *testing.T, b *bench) {
	a := b.attempt("await", "exit", "9")
	b.start(a)
	b.ready(a)
	b.leave()
	b.exec = b.another()
	h := b.start(a)
	if p := a.processes(); len(p) != 1 {
		t.Errorf("processes after the second Start: %v, want one", p)
	}
	b.release(a)
	if x := b.wait(h); !x.Known || x.Code != 9 {
		t.Errorf("got %+v", x)
	}
}

func startEnded(t *testing.T, b *bench) {
	a := b.attempt("exit", "9")
	b.wait(b.start(a))
	b.leave()
	b.exec = b.another()
	if x := b.run(a); !x.Known || x.Code != 9 {
		t.Errorf("got %+v, want the result that is there", x)
	}
}
