package runner

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// fakeGPUs is a pool whose GPUs a test can take away, as another runner would.
type fakeGPUs struct {
	size, elsewhere int
	held            map[string]bool
	err             error
}

func (f *fakeGPUs) Size() int { return f.size }
func (f *fakeGPUs) Free() int { return f.size - f.elsewhere - len(f.held) }

func (f *fakeGPUs) Take(n int) ([]string, bool, error) {
	if f.err != nil {
		return nil, false, f.err
	}
	if n > f.Free() {
		return nil, false, nil
	}
	var ids []string
	for i := 0; len(ids) < n; i++ {
		if id := strconv.Itoa(i); !f.held[id] {
			f.held[id] = true
			ids = append(ids, id)
		}
	}
	return ids, true, nil
}

func (f *fakeGPUs) Give(ids []string) {
	for _, id := range ids {
		if !f.held[id] {
			panic("given back twice: " + id)
		}
		delete(f.held, id)
	}
}

func someGPUs(n int) *fakeGPUs { return &fakeGPUs{size: n, held: map[string]bool{}} }

// granted says which of some tickets have what they want.
func granted(a *admission, list ...*ticket) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var s []byte
	for i, t := range list {
		if t.granted {
			s = append(s, byte('a'+i))
		}
	}
	return string(s)
}

func wantGranted(t *testing.T, a *admission, want string, list ...*ticket) {
	t.Helper()
	if got := granted(a, list...); got != want {
		t.Errorf("%q may begin, want %q", got, want)
	}
}

// CPU and memory are given in the order of the claims: a small job does not
// overtake a large one for ever.
func TestAdmissionInOrder(t *testing.T) {
	a := newAdmission(demand{cpu: 4000, memory: 100}, someGPUs(0), time.Hour)
	one := a.enter(demand{cpu: 3000, memory: 10})
	large := a.enter(demand{cpu: 2000, memory: 10})
	small := a.enter(demand{cpu: 1000, memory: 10})
	wantGranted(t, a, "a", one, large, small)
	if got := a.free(); got != (demand{cpu: 0, memory: 70}) {
		t.Errorf("free is %+v", got)
	}
	a.leave(one)
	wantGranted(t, a, "ab", large, small)
	memory := a.enter(demand{cpu: 1000, memory: 81})
	wantGranted(t, a, "", memory)
	a.leave(memory) // one that never began
	a.leave(large)
	a.leave(small)
	if got := a.free(); got != a.capacity {
		t.Errorf("free is %+v in the end", got)
	}
}

// A job that waits for a GPU of another runner holds up those that want one, and
// nobody else.
func TestAdmissionOfGPUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gpus := someGPUs(2)
		gpus.elsewhere = 1
		a := newAdmission(demand{cpu: 8000, memory: 100, gpus: 2}, gpus, time.Second)
		both := a.enter(demand{cpu: 1000, memory: 1, gpus: 2})
		single := a.enter(demand{cpu: 1000, memory: 1, gpus: 1})
		none := a.enter(demand{cpu: 1000, memory: 1})
		wantGranted(t, a, "c", both, single, none)
		if got := a.free(); got.gpus != 0 {
			t.Errorf("free is %+v while jobs wait for GPUs", got)
		}
		a.mu.Lock()
		gpus.elsewhere = 0
		a.mu.Unlock()
		ids, err := a.wait(t.Context(), both)
		if err != nil || !slices.Equal(ids, []string{"0", "1"}) {
			t.Errorf("%v, %v", ids, err)
		}
		wantGranted(t, a, "ac", both, single, none)
		a.leave(both)
		wantGranted(t, a, "a", single)
		a.leave(single)
		a.leave(none)
		a.close()
	})
}

// Locks that cannot be taken end the job, not the queue.
func TestAdmissionWithoutLocks(t *testing.T) {
	gpus := someGPUs(1)
	gpus.err = errors.New("disk full")
	a := newAdmission(demand{cpu: 1, memory: 1, gpus: 1}, gpus, time.Hour)
	job := a.enter(demand{gpus: 1})
	if _, err := a.wait(t.Context(), job); !errors.Is(err, gpus.err) {
		t.Errorf("error %v", err)
	}
	a.leave(job)
	a.close()
}

// After a stop nothing begins with what the jobs give back that it has ended.
func TestAdmissionClosed(t *testing.T) {
	a := newAdmission(demand{cpu: 1000, memory: 100}, someGPUs(1), time.Hour)
	runs := a.enter(demand{cpu: 1000, memory: 10})
	waits := a.enter(demand{cpu: 1000, memory: 10, gpus: 1})
	a.close()
	a.leave(runs)
	wantGranted(t, a, "", waits)
	a.close()
}

func TestAdmissionGivesUpWithItsContext(t *testing.T) {
	a := newAdmission(demand{}, someGPUs(0), time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	job := a.enter(demand{cpu: 1})
	if _, err := a.wait(ctx, job); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if a.room(ctx) {
		t.Error("room after the end")
	}
}

// Whatever comes and goes: the sum of what began is never more than there is,
// nobody overtakes for CPU and memory, no GPU has two owners, and when all the
// others have gone, the first of the rest begins.
func TestAdmissionProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gpus := someGPUs(3)
		a := newAdmission(demand{cpu: 4000, memory: 16, gpus: 3}, gpus, time.Hour)
		defer a.close()
		var in []*ticket
		t.Repeat(map[string]func(*rapid.T){
			"enter": func(t *rapid.T) {
				in = append(in, a.enter(demand{
					cpu: rapid.Int64Range(1, 4000).Draw(t, "cpu"), memory: rapid.Int64Range(1, 16).Draw(t, "memory"), gpus: rapid.Int64Range(0, 3).Draw(t, "gpus"),
				}))
			},
			"leave": func(t *rapid.T) {
				if len(in) == 0 {
					t.Skip("nobody is there")
				}
				i := rapid.IntRange(0, len(in)-1).Draw(t, "who")
				a.leave(in[i])
				in = slices.Delete(in, i, i+1)
			},
			"": func(t *rapid.T) {
				var used demand
				owned, waiting := map[string]bool{}, false
				for _, x := range in {
					if !x.admitted {
						waiting = true
						continue
					}
					if waiting {
						t.Fatal("one overtook another")
					}
					used = used.plus(x.need)
					if x.granted && int64(len(x.ids)) != x.need.gpus {
						t.Fatalf("%d GPUs for one that wants %d", len(x.ids), x.need.gpus)
					}
					for _, id := range x.ids {
						if owned[id] {
							t.Fatal("a GPU has two owners")
						}
						owned[id] = true
					}
				}
				if !used.within(a.capacity) {
					t.Fatalf("%+v is used of %+v", used, a.capacity)
				}
				if len(in) > 0 && !in[0].granted {
					// It may wait only for GPUs that one behind it has.
					if !in[0].admitted || in[0].need.gpus == 0 || len(owned) == 0 {
						t.Fatal("the first waits for nobody")
					}
				}
			},
		})
		for _, x := range in {
			a.leave(x)
		}
		if f := a.free(); f != a.capacity || len(gpus.held) > 0 {
			t.Fatalf("%+v is free in the end", f)
		}
	})
}
