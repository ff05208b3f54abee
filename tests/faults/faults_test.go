//go:build engine

package faults

import (
	"os"
	"slices"
	"testing"
)

// cell is one fault at one point of a job's life.
type cell struct {
	name string
	// quick says that the cell is run always, and not only where all are wanted.
	quick bool
	// verdict is what must come of the job.
	verdict verdict
	// strike makes it happen: from a site that is up to the end of its jobs, which
	// it judges.
	strike func(t *testing.T, s *site, v verdict)
	// furnish changes a site before it is started.
	furnish func(t *testing.T, s *site)
}

// groups are all cells, by what the fault happens to.
var groups = map[string][]cell{
	"engine":   slices.Concat(engineCells, engineMoreCells),
	"daemon":   daemonCells,
	"platform": platformCells,
	"disk":     diskCells,
	"races":    raceCells,
	"crash":    crashCells,
}

// TestFaults runs the cells. Each has a platform and a runner of its own.
func TestFaults(t *testing.T) {
	all := os.Getenv("LYNX_FAULTS") == "all"
	for group, cells := range groups {
		t.Run(group, func(t *testing.T) {
			for _, c := range cells {
				if !all && !c.quick {
					continue
				}
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.play(t)
				})
			}
		})
	}
}

func (c cell) play(t *testing.T) {
	s := newSite(t)
	if c.furnish != nil {
		c.furnish(t, s)
	}
	s.up(t)
	c.strike(t, s, c.verdict)
	s.down(t)
}
