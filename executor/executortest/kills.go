package executortest

import (
	"strconv"
	"sync"
	"testing"
	"time"
)

func itoa(n int) string { return strconv.Itoa(n) }

// kills are about Kill, and about who is killed.
var kills = map[string]func(*testing.T, *bench){
	"Kill of a tree":               killTree,
	"Kill twice, and at once":      killTwice,
	"Kill after the end":           killEnded,
	"Kill of one that ignores all": killDeaf,
	"Kill right after Start":       killAtOnce,
	"a job goes before its runner": yields,
}

func killTree(t *testing.T, b *bench) {
	a := b.attempt("tree", "8")
	h := b.start(a)
	b.until("nine processes", func() bool { return len(a.processes()) == 9 })
	before := time.Now()
	at := b.kill(h)
	if p := a.processes(); len(p) > 0 {
		t.Errorf("processes live after Kill returned: %v", p)
	}
	if at.Before(before) || at.After(time.Now()) {
		t.Errorf("gone at %v, which is not between the call and now", at)
	}
	x := b.wait(h)
	if x.ExternalKill || x.DeadlineKill {
		t.Errorf("our own kill is taken for somebody else's: %+v", x)
	}
	if !x.Ended.Equal(at) {
		t.Errorf("Wait says %v, Kill %v", x.Ended, at)
	}
}

func killTwice(t *testing.T, b *bench) {
	a := b.attempt("sleep")
	h := b.start(a)
	b.ready(a)
	var wg sync.WaitGroup
	times := make([]time.Time, 4)
	for i := range times {
		wg.Go(func() { times[i] = b.kill(h) })
	}
	wg.Wait()
	again := b.kill(h)
	for i, at := range times {
		if !at.Equal(again) {
			t.Errorf("kill %d says %v, a later one %v", i, at, again)
		}
	}
	b.wait(h)
}

func killEnded(t *testing.T, b *bench) {
	h := b.start(b.attempt("exit", "6"))
	x := b.wait(h)
	if at := b.kill(h); !at.Equal(x.Ended) {
		t.Errorf("Kill after the end says %v, want the end, %v", at, x.Ended)
	}
	if again := b.wait(h); again.Code != 6 || !again.Known {
		t.Errorf("a kill after the end changed it: %+v", again)
	}
}

func killDeaf(t *testing.T, b *bench) {
	a := b.attempt("ignore-term")
	h := b.start(a)
	b.ready(a)
	b.kill(h)
	if p := a.processes(); len(p) > 0 {
		t.Errorf("processes live after Kill returned: %v", p)
	}
}

func killAtOnce(t *testing.T, b *bench) {
	a := b.attempt("sleep")
	h := b.start(a)
	b.kill(h)
	if p := a.processes(); len(p) > 0 {
		t.Errorf("processes live after Kill returned: %v", p)
	}
	if x := b.wait(h); x.ExternalKill {
		t.Errorf("our own kill is taken for somebody else's: %+v", x)
	}
}
