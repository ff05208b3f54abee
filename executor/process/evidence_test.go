package process

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
	"github.com/tetryx/lynx-runner/internal/shim"
)

// exited and signalled are wait statuses as the kernel encodes them (wait(2)).
func exited(code int) *unix.WaitStatus { s := unix.WaitStatus(code << 8); return &s }

func signalled(sig unix.Signal) *unix.WaitStatus { s := unix.WaitStatus(sig); return &s }

func TestEvidence(t *testing.T) {
	report := func(code, signal int) *shim.ExitReport { return &shim.ExitReport{Code: code, Signal: signal} }
	oom := cgroup.Counters{OOMKills: 1}
	for name, c := range map[string]struct {
		seen         evidence
		code, signal int
		known        bool
		external     bool
		notes        int
	}{
		"agreement":                        {evidence{status: exited(3), report: report(3, 0)}, 3, 0, true, false, 0},
		"signal":                           {evidence{status: exited(139), report: report(139, 11)}, 139, 11, true, false, 0},
		"report of a shim of another time": {evidence{report: report(7, 0)}, 7, 0, true, false, 0},
		"report, then killed by us":        {evidence{status: signalled(9), report: report(7, 0), killed: true}, 7, 0, true, false, 0},
		"disagreement":                     {evidence{status: exited(2), report: report(0, 0)}, 2, 0, true, false, 1},
		"setup failure":                    {evidence{status: exited(125), report: &shim.ExitReport{Code: 125, SetupError: "x"}}, 125, 0, false, false, 1},
		"killed by us":                     {evidence{status: signalled(9), killed: true}, 0, 0, false, false, 0},
		"killed by us, in another time":    {evidence{killed: true}, 0, 0, false, false, 0},
		"out of memory, shim included":     {evidence{status: signalled(9), counters: oom}, 137, 9, true, false, 1},
		"killed by somebody":               {evidence{status: signalled(9)}, 0, 0, false, true, 1},
		"gone without a word":              {evidence{}, 0, 0, false, true, 1},
		"crashed":                          {evidence{status: exited(2)}, 0, 0, false, false, 1},
		"never started":                    {evidence{lost: "never"}, 0, 0, false, false, 1},
		"restarted machine":                {evidence{lost: "restarted", restarted: true}, 0, 0, false, true, 1},
	} {
		x := c.seen.exit()
		if x.Known != c.known || x.ExternalKill != c.external || len(x.Notes) != c.notes || c.known && (x.Code != c.code || x.Signal != c.signal) {
			t.Errorf("%s: %+v", name, x)
		}
	}
}
