package platform

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tetryx/lynx-runner/api"
)

// reasons finds out why jobs stay Pending. It looks at the runners once, and only
// if it is asked about a job that does.
type reasons struct {
	tx           ReadTx
	now          time.Time
	offlineAfter time.Duration

	known   map[*Spec]string
	runners []Runner // that are connected
}

func (s *Service) reasons(tx ReadTx) *reasons {
	return &reasons{tx: tx, now: s.now(), offlineAfter: s.opts.OfflineAfter}
}

// of is a job's [JobView.PendingReason].
func (w *reasons) of(j *Job, spec *Spec) (string, error) {
	if j.State != api.JobPending {
		return "", nil
	}
	if w.known == nil {
		all, err := w.tx.Runners()
		if err != nil {
			return "", err
		}
		w.runners = slices.DeleteFunc(all, func(r Runner) bool { return r.offline(w.now, w.offlineAfter) })
		w.known = map[*Spec]string{}
	}
	why, ok := w.known[spec]
	if !ok {
		why = pendingReason(spec, w.runners)
		w.known[spec] = why
	}
	return why, nil
}

// pendingReason says why none of the connected runners would take a job, even if
// it had nothing else to do; "" if one would.
func pendingReason(spec *Spec, connected []Runner) string {
	if len(connected) == 0 {
		return "no runner is connected"
	}
	kind := spec.Simulation.Type
	left := slices.DeleteFunc(slices.Clone(connected), func(r Runner) bool {
		return !slices.Contains(r.Capabilities.SupportedSimulationTypes, kind)
	})
	if len(left) == 0 {
		return fmt.Sprintf("no connected runner takes simulations of type %q; start one whose supported_simulation_types names it", kind)
	}
	if why := tooLarge(spec, left); why != "" {
		return why
	}
	large := slices.DeleteFunc(left, func(r Runner) bool { return r.capacity().fit(r.needs(spec.Compute)) == 0 })
	if len(large) == 0 {
		return fmt.Sprintf("no single connected runner for %q has all the CPUs, memory and GPUs that it asks for", kind)
	}
	return refusing(large)
}

// tooLarge names the request that no runner is large enough for.
func tooLarge(spec *Spec, runners []Runner) string {
	var most Resources
	for i := range runners {
		c := runners[i].capacity()
		most.CPUMillis = max(most.CPUMillis, c.CPUMillis)
		most.MemoryBytes = max(most.MemoryBytes, c.MemoryBytes)
		most.GPUs = max(most.GPUs, c.GPUs)
	}
	c := spec.Compute
	none := func(asks, has string) string {
		return fmt.Sprintf("it asks for %s; no connected runner for %q has more than %s", asks, spec.Simulation.Type, has)
	}
	switch {
	case c.GPUs > most.GPUs:
		return none(strconv.FormatInt(c.GPUs, 10)+" GPUs", strconv.FormatInt(most.GPUs, 10))
	case c.MemoryBytes > most.MemoryBytes:
		return none(gibibytes(c.MemoryBytes)+" of memory", gibibytes(most.MemoryBytes))
	case c.CPUMillis > most.CPUMillis:
		return none(cpus(c.CPUMillis)+" CPUs", cpus(most.CPUMillis))
	}
	return ""
}

func gibibytes(n int64) string { return strconv.FormatFloat(float64(n)/(1<<30), 'f', 2, 64) + " GiB" }

func cpus(millis int64) string { return strconv.FormatFloat(float64(millis)/1000, 'f', -1, 64) }

// maxNamed is how many runners a sentence names.
const maxNamed = 5

// refusing says why all of the runners take no jobs; "" if one does.
func refusing(runners []Runner) string {
	var each []string
	for i := range runners {
		switch r := &runners[i]; {
		case r.takesJobs():
			return ""
		case len(each) == maxNamed:
		case r.Drain:
			each = append(each, r.ID+" is drained")
		case r.Draining:
			each = append(each, r.ID+" is about to stop")
		default:
			each = append(each, r.ID+" is paused: "+r.Paused)
		}
	}
	if more := len(runners) - len(each); more > 0 {
		each = append(each, fmt.Sprintf("and %d more", more))
	}
	return "no runner that could take it takes jobs now: " + strings.Join(each, "; ")
}
