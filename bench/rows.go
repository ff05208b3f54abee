package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// row is a group of lines that are measured together. It starts the runners that it
// needs, stops them, and returns at least one line, or an error if what it measures
// did not work: the smoke test, which measures as little of each row as can be, then
// fails.
type row struct {
	name, what string
	measure    func(context.Context, *world, options) ([]line, error)
}

// rows are measured in this order. A new one is a file and a line here.
var rows = []row{
	{"slot", "slot time of an empty job", slotRow},
	{"tutorial", "runs of the tutorial per second", tutorialRow},
	{"batch", "runs of the tutorial per second in shared containers", batchRow},
	{"rate", "empty jobs per second, and what runner and platform use for each", rateRow},
	{"telemetry", "telemetry samples per second", telemetryRow},
	{"latency", "from a telemetry sample to its acknowledgement", latencyRow},
	{"sdk", "what telemetry costs a simulation in Python", sdkRow},
	{"breach", "from a breach to the end of the last process", ownContainers.row},
	{"breach-rash", "the same of jobs that break a rule as soon as they run", rashOnes.row},
	{"breach-shared", "the same in containers that jobs share", sharedOnes.row},
	{"breach-process", "the same without containers", processes.row},
	{"idle", "what an idle runner uses", idleRow},
	{"platform", "submission and claims", platformRow},
	{"claim", "from submission to claim", claimRow},
	{"first", "from submission to the start of the first run", firstRow},
	{"memory", "what a runner keeps of very many jobs", memoryRow},
	{"leftovers", "what all of this left behind", leftoversRow},
}

func rowNames() string {
	var names []string
	for _, r := range rows {
		names = append(names, r.name)
	}
	return strings.Join(names, ",")
}

// choose finds rows by their names; none means all.
func choose(names string) ([]row, error) {
	if names == "" {
		return rows, nil
	}
	var chosen []row
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(rows, func(r row) bool { return r.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no row %q; there are %s", name, rowNames())
		}
		chosen = append(chosen, rows[i])
	}
	return chosen, nil
}
