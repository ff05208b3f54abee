package simulation

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/store/memory"
	"github.com/tetryx/lynx-runner/internal/study"
)

// epoch is when a schedule begins.
var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// world is one schedule.
type world struct {
	t    testing.TB
	seed uint64
	rng  *rand.Rand
	// now is the true time since epoch; the platform's clock is off by skew.
	now, skew time.Duration
	events    events
	scheduled int

	store *memory.Store
	svc   *platform.Service // nil while it is down
	ids   int
	// loses says that this platform's disk may forget its last transactions.
	loses  bool
	healed bool

	runners []*runner
	batches []string
	// truth has what each attempt that ran to its end came to, accepted the first
	// result of each that the platform acknowledged.
	truth, accepted map[attempt]string
	trace           io.Writer
	sum             func() uint64
}

// attempt is one claim of a job. Its id alone is not enough: a platform that
// forgot a claim gives the same id again, in another epoch.
type attempt struct {
	id    string
	token platform.Token
}

func attemptOf(ref platform.AttemptRef) attempt { return attempt{ref.AttemptID, ref.Token} }

// event is something that happens at its time.
type event struct {
	at    time.Duration
	order int
	do    func()
}

type events []event

func (e events) Len() int      { return len(e) }
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e *events) Push(x any) { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func newWorld(t testing.TB, seed uint64) *world {
	hash := fnv.New64a()
	w := &world{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), store: memory.New(),
		truth: map[attempt]string{}, accepted: map[attempt]string{}, trace: hash, sum: hash.Sum64,
	}
	if *theSeed != 0 {
		w.trace = io.MultiWriter(hash, t.Output())
	}
	w.loses = w.chance(0.2)
	w.startPlatform()
	for i := range 1 + w.rng.IntN(3) {
		w.runners = append(w.runners, newRunner(w, "runner-"+strconv.Itoa(i)))
	}
	return w
}

// after schedules do.
func (w *world) after(d time.Duration, do func()) {
	w.scheduled++
	heap.Push(&w.events, event{w.now + d, w.scheduled, do})
}

// between is a random duration.
func (w *world) between(from, to time.Duration) time.Duration {
	return from + time.Duration(w.rng.Int64N(int64(to-from)))
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// unlucky is chance, until everything has healed.
func (w *world) unlucky(p float64) bool { return !w.healed && w.chance(p) }

// note adds to the trace, by which two schedules are compared.
func (w *world) note(format string, args ...any) {
	fmt.Fprintf(w.trace, "%v ", w.now)
	fmt.Fprintf(w.trace, format+"\n", args...)
}

func (w *world) failf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d at %v: %s", w.seed, w.now, fmt.Sprintf(format, args...))
}

// run lets events happen until done, or until limit.
func (w *world) run(limit time.Duration, done func() bool) {
	for !done() {
		if len(w.events) == 0 {
			w.failf("nothing happens any more")
		}
		if w.events[0].at > limit {
			w.now = limit
			return
		}
		next := heap.Pop(&w.events).(event)
		w.now = next.at
		next.do()
	}
}

func (w *world) startPlatform() {
	w.svc = platform.New(w.store, platform.Options{
		Now:   func() time.Time { return epoch.Add(w.now + w.skew) },
		NewID: func() string { w.ids++; return "id" + strconv.Itoa(w.ids) },
		Seed:  func() uint64 { return w.seed & study.MaxSeed },
		Log:   slog.New(slog.DiscardHandler),
	})
	w.tick(w.svc)
}

// tick is what the platform does by itself, as long as it is this process.
func (w *world) tick(svc *platform.Service) {
	w.after(2*time.Second, func() {
		if w.svc == svc {
			w.must(svc.Tick(context.Background()))
			w.tick(svc)
		}
	})
}

func (w *world) must(err error) {
	if err != nil {
		w.failf("%v", err)
	}
}

// crashPlatform kills the platform; it comes back after a while.
func (w *world) crashPlatform() {
	if w.svc == nil {
		return
	}
	w.note("platform down")
	w.svc = nil
	w.after(w.between(time.Second, 90*time.Second), func() {
		w.store.Reopen()
		w.note("platform up")
		w.startPlatform()
	})
}

// forget makes the platform's disk lose what is written from now until the crash
// that ends this.
func (w *world) forget() {
	if w.svc == nil {
		return
	}
	restore := w.store.Snapshot()
	submitted := len(w.batches)
	before := map[attempt]string{}
	for a, outcome := range w.accepted {
		before[a] = outcome
	}
	w.after(w.between(0, 2*time.Second), func() {
		if w.svc == nil || w.healed || len(w.batches) != submitted {
			return
		}
		w.note("platform forgets")
		restore()
		w.accepted = before
		w.crashPlatform()
	})
}

// call is one call of a runner. The answer is given to done once, unless the
// runner's process is another one by then; an error that is errLost means that the
// runner cannot know whether the platform acted.
func call[T any](r *runner, do func(context.Context, *platform.Service) (T, error), done func(T, error)) {
	w, process := r.w, r.process
	answer := func(delay time.Duration, value T, err error) {
		w.after(delay, func() {
			if r.process == process && r.up {
				done(value, err)
			}
		})
	}
	arrive := func(deliver bool) {
		var value T
		err := errLost
		if w.svc != nil {
			value, err = do(context.Background(), w.svc)
		}
		if !deliver {
			return
		}
		if w.unlucky(0.05) {
			var none T
			answer(10*time.Second, none, errLost)
			return
		}
		answer(w.latency(), value, err)
	}
	if r.cutOff || w.unlucky(0.05) {
		var none T
		answer(10*time.Second, none, errLost)
		return
	}
	w.after(w.latency(), func() { arrive(true) })
	if w.unlucky(0.05) {
		w.after(w.latency(), func() { arrive(false) })
	}
}

var errLost = errors.New("no answer")

// latency of one way: short mostly, now and then long enough to be overtaken.
func (w *world) latency() time.Duration {
	if w.unlucky(0.1) {
		return w.between(time.Millisecond, 8*time.Second)
	}
	return w.between(time.Millisecond, 20*time.Millisecond)
}
