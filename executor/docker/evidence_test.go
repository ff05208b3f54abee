package docker

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
	"github.com/tetryx/lynx-runner/internal/shim"
)

// verdict is a combination of what was seen, what follows from it, and what a
// note must say about it; an empty note wants none.
type verdict struct {
	seen evidence
	want executor.Exit // the fields that are decided
	note string
}

func reported(code, signal int) *shim.ExitReport { return &shim.ExitReport{Code: code, Signal: signal} }

// withReport are the ends that the shim reported.
func withReport() map[string]verdict {
	return map[string]verdict{
		"agree": {
			evidence{record: &record{exitCode: 3}, report: reported(3, 0)},
			executor.Exit{Known: true, Code: 3}, "",
		},
		"agree on a signal": {
			evidence{record: &record{exitCode: 139}, report: reported(139, 11)},
			executor.Exit{Known: true, Code: 139, Signal: 11}, "",
		},
		"exit code above 128": {
			evidence{record: &record{exitCode: 139}, report: reported(139, 0)},
			executor.Exit{Known: true, Code: 139}, "",
		},
		"disagree": {
			evidence{record: &record{exitCode: 2}, report: reported(0, 0)},
			executor.Exit{Known: true, Code: 2}, "which stands",
		},
		"killed between report and exit, by us": {
			evidence{record: &record{exitCode: 137}, report: reported(0, 0), killed: true},
			executor.Exit{}, "killed before it could exit",
		},
		"signalled by the engine": {
			evidence{record: &record{exitCode: 143}, report: reported(143, 15), signalled: true},
			executor.Exit{Known: true, Code: 143, Signal: 15, ExternalKill: true}, "somebody else",
		},
		"signalled by the engine after our kill": {
			evidence{record: &record{exitCode: 143}, report: reported(143, 15), signalled: true, killed: true},
			executor.Exit{Known: true, Code: 143, Signal: 15}, "",
		},
		"the job killed itself": {
			evidence{record: &record{exitCode: 137}, report: reported(137, 9)},
			executor.Exit{Known: true, Code: 137, Signal: 9}, "",
		},
		"an engine that was away and does not know": {
			evidence{record: &record{exitCode: 255}, report: reported(3, 0), brokeOff: true},
			executor.Exit{Known: true, Code: 3}, "report alone: the engine was away",
		},
		"an engine that was away and has forgotten": {
			evidence{record: &record{exitCode: 0}, report: reported(143, 15), brokeOff: true},
			executor.Exit{Known: true, Code: 143, Signal: 15}, "report alone: the engine was away",
		},
		"an engine that was there, and 0": {
			evidence{record: &record{exitCode: 0}, report: reported(3, 0)},
			executor.Exit{Known: true, Code: 0}, "which stands",
		},
		"an engine that was away and knows": {
			evidence{record: &record{exitCode: 2}, report: reported(3, 0), brokeOff: true},
			executor.Exit{Known: true, Code: 2}, "which stands",
		},
		"255 of the job's own, whose engine was away": {
			evidence{record: &record{exitCode: 255}, report: reported(255, 0), brokeOff: true},
			executor.Exit{Known: true, Code: 255}, "",
		},
		"no record, a report": {
			evidence{lost: "gone", report: reported(4, 0)},
			executor.Exit{Known: true, Code: 4}, "report alone: gone",
		},
		"not executed": {
			evidence{record: &record{exitCode: 127}, report: &shim.ExitReport{Code: 127, ExecError: "no such file"}},
			executor.Exit{Known: true, Code: 127, ExecError: "no such file"}, "",
		},
		"not prepared": {
			evidence{record: &record{exitCode: 125}, report: &shim.ExitReport{Code: 125, SetupError: "disk full"}},
			executor.Exit{Code: 125}, "could not prepare the job: disk full",
		},
	}
}

// withoutReport are the ends that the shim said nothing about.
func withoutReport() map[string]verdict {
	return map[string]verdict{
		"no report, ordinary code": {
			evidence{record: &record{exitCode: 1}},
			executor.Exit{Known: true, Code: 1}, "report is missing",
		},
		"no report, an engine that was away and does not know": {
			evidence{record: &record{exitCode: 255}, brokeOff: true},
			executor.Exit{}, "recorded exit code 255",
		},
		"no report, the runtime's own process ended while the engine was away": {
			evidence{record: &record{exitCode: 2}, brokeOff: true},
			executor.Exit{}, "recorded exit code 2",
		},
		"no report, an engine that was away and has forgotten": {
			evidence{record: &record{exitCode: 0}, brokeOff: true},
			executor.Exit{}, "recorded exit code 0",
		},
		"no report, 255 of an engine that was there": {
			evidence{record: &record{exitCode: 255}},
			executor.Exit{Known: true, Code: 255}, "report is missing",
		},
		"no report, killed by us": {
			evidence{record: &record{exitCode: 137}, killed: true},
			executor.Exit{}, "",
		},
		"no report, killed by us, a child was out of memory before": {
			evidence{record: &record{exitCode: 137, oomKilled: true}, killed: true},
			executor.Exit{}, "",
		},
		"no report, killed by somebody": {
			evidence{record: &record{exitCode: 137}},
			executor.Exit{ExternalKill: true}, "killed before it could report",
		},
		"no report, out of memory by the engine": {
			evidence{record: &record{exitCode: 137, oomKilled: true}},
			executor.Exit{Known: true, Code: 137, Signal: 9}, "ran out of memory",
		},
		"no report, out of memory by the cgroup": {
			evidence{record: &record{exitCode: 137}, counters: cgroup.Counters{OOMKills: 1}},
			executor.Exit{Known: true, Code: 137, Signal: 9}, "ran out of memory",
		},
		"no report, at the shim's deadline": {
			evidence{record: &record{exitCode: 137}, killAfter: time.Second, started: time.Unix(0, 0), ended: time.Unix(2, 0)},
			executor.Exit{DeadlineKill: true}, "killed before it could report",
		},
		"no report, before the shim's deadline": {
			evidence{record: &record{exitCode: 137}, killAfter: 3 * time.Second, started: time.Unix(0, 0), ended: time.Unix(2, 0)},
			executor.Exit{ExternalKill: true}, "killed before it could report",
		},
		"neither": {
			evidence{lost: "gone"},
			executor.Exit{ExternalKill: true}, "nobody knows",
		},
		"neither, killed by us": {
			evidence{lost: "gone", killed: true},
			executor.Exit{}, "nobody knows",
		},
		"never started": {
			evidence{record: &record{neverStarted: true, problem: "no such device"}},
			executor.Exit{}, "never started: no such device",
		},
	}
}

func TestEvidence(t *testing.T) {
	all := withReport()
	maps.Copy(all, withoutReport())
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			x := c.seen.exit()
			if x.Known != c.want.Known || (x.Known && (x.Code != c.want.Code || x.Signal != c.want.Signal)) ||
				x.ExecError != c.want.ExecError || x.DeadlineKill != c.want.DeadlineKill || x.ExternalKill != c.want.ExternalKill {
				t.Errorf("got %+v, want %+v", x, c.want)
			}
			if notes := strings.Join(x.Notes, "\n"); !strings.Contains(notes, c.note) || (c.note == "") != (notes == "") {
				t.Errorf("notes %q, want one that says %q", x.Notes, c.note)
			}
		})
	}
}

func TestEvidenceOfUsage(t *testing.T) {
	start := time.Unix(100, 0)
	seen := evidence{
		record: &record{exitCode: 137, oomKilled: true}, killed: true, memoryLimit: 64,
		counters: cgroup.Counters{Peak: 60, OOMKills: 2, CPU: time.Second}, started: start, ended: start.Add(3 * time.Second),
	}
	x := seen.exit()
	if x.Usage != (executor.Usage{Wall: 3 * time.Second, CPU: time.Second, PeakMemory: 60}) {
		t.Errorf("without a report: %+v", x.Usage)
	}
	if x.OOM != (executor.OOM{Killed: 2, Engine: true, Limit: 64}) {
		t.Errorf("memory: %+v", x.OOM)
	}
	seen.report = &shim.ExitReport{Code: 137, Signal: 9, WallMicros: 5, CPUMicros: 6, MaxRSSBytes: 7}
	if got := seen.exit().Usage; got != (executor.Usage{Wall: 5 * time.Microsecond, CPU: 6 * time.Microsecond, PeakMemory: 60}) {
		t.Errorf("with a report: %+v, want the cgroup's peak and the shim's times", got)
	}
	seen.counters = cgroup.Counters{}
	if got := seen.exit().Usage.PeakMemory; got != 7 {
		t.Errorf("without a cgroup: a peak of %d, want the largest process, 7", got)
	}
}
