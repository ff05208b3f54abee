//go:build engine

package soak

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// tally counts what happened.
type tally struct {
	mu       sync.Mutex
	counts   map[string]int
	outcomes map[string]int
	faults   map[string]int
	recovery []time.Duration
}

func newTally() *tally {
	return &tally{counts: map[string]int{}, outcomes: map[string]int{}, faults: map[string]int{}}
}

func (y *tally) add(what string, n int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.counts[what] += n
}

func (y *tally) outcome(kind string, o api.Outcome) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.outcomes[fmt.Sprintf("%s: %s", kind, cmp.Or(o, "none"))]++
}

func (y *tally) fault(k strike) {
	y.mu.Lock()
	defer y.mu.Unlock()
	what, _, _ := strings.Cut(k.target, " ")
	y.faults[what+": "+k.fault.name]++
}

// engineEnded reports whether the engine was ended at any time.
func (y *tally) engineEnded() bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.faults["engine: kill -9"]+y.faults["engine: SIGTERM"] > 0
}

// print prints the table.
func (y *tally) print(title string, leftovers int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	fmt.Printf("\n%s\n", title)
	for _, part := range []struct {
		title  string
		counts map[string]int
	}{{"jobs by kind and outcome", y.outcomes}, {"faults", y.faults}, {"counts", y.counts}} {
		fmt.Printf("\n%s\n", part.title)
		for _, name := range slices.Sorted(maps.Keys(part.counts)) {
			fmt.Printf("  %6d  %s\n", part.counts[name], name)
		}
	}
	slices.Sort(y.recovery)
	if n := len(y.recovery); n > 0 {
		fmt.Printf("\nfrom a fault's end until every runner takes jobs: longest %.1f s, median %.1f s\n", y.recovery[n-1].Seconds(), y.recovery[n/2].Seconds())
	}
	fmt.Printf("leftovers: %d\n\n", leftovers)
}

// logged counts what the programs have logged.
func (s *site) logged(t *testing.T) {
	t.Helper()
	for _, p := range s.services {
		text := p.Says()
		s.tally.add("jobs taken up by a runner that was started again", strings.Count(text, "taking up a job"))
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || strings.Contains(line, "DATA RACE") {
				t.Errorf("%s: %s", p.Name, line)
			}
		}
	}
}

// healthy reports whether every runner takes jobs, by what it has said since a time.
func (s *site) healthy(t *testing.T, since time.Time) bool {
	for _, w := range s.workers {
		r, err := s.Client.Runner(t.Context(), w.ID)
		if err != nil || r.Status == api.RunnerOffline || r.Paused != "" || r.LastHeartbeatAt.Before(since) {
			return false
		}
	}
	return true
}

// held reports whether somebody holds a lock.
func held(t *testing.T, path string) bool {
	t.Helper()
	f, err := os.Open(path)
	stand.Must(t, err)
	defer f.Close()
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil
}
