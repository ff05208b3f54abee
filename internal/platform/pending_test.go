package platform_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform"
)

// reason is why the first job of a batch is pending, the same alone and in a list.
func (w *world) reason(b platform.Batch) string {
	w.Helper()
	list, _, err := w.svc.Jobs(w.Context(), platform.JobFilter{BatchID: b.ID}, platform.Page{Limit: 1})
	w.ok(err)
	one, err := w.svc.Job(w.Context(), list[0].ID)
	w.ok(err)
	w.equal("the reason alone and in a list", one.PendingReason, list[0].PendingReason)
	return one.PendingReason
}

func TestWhyJobsWait(t *testing.T) {
	register := func(w *world, id string, c api.Capabilities, gpus int64) string {
		return w.registerAs(platform.Registration{RunnerID: id, InstallationID: id, Capabilities: c, GPUs: gpus})
	}
	sized := func(cpus, memory float64) api.Capabilities {
		c := basilisk()
		c.CPUCores, c.MemoryGB = cpus, memory
		return c
	}
	px4 := basilisk()
	px4.SupportedSimulationTypes = []string{"px4_sitl"}
	for name, c := range map[string]struct {
		compute string
		runners func(w *world)
		want    string
	}{
		"nobody": {"", func(*world) {}, "no runner is connected"},
		"offline": {"", func(w *world) {
			w.register("r")
			w.pass(time.Minute)
		}, "no runner is connected"},
		"another type": {"", func(w *world) { register(w, "r", px4, 0) },
			`no connected runner takes simulations of type "basilisk"; start one whose supported_simulation_types names it`},
		"GPUs": {"container: {gpu_request: 2}", func(w *world) {
			register(w, "r", basilisk(), 0)
			register(w, "s", basilisk(), 1)
			register(w, "t", px4, 9)
		}, `it asks for 2 GPUs; no connected runner for "basilisk" has more than 1`},
		"memory": {"container: {memory_request: 64Gi}", func(w *world) { register(w, "r", sized(8, 15.5), 0) },
			`it asks for 64.00 GiB of memory; no connected runner for "basilisk" has more than 15.50 GiB`},
		"CPUs": {"container: {cpu_request: 8500m}", func(w *world) { register(w, "r", sized(8, 16), 0) },
			`it asks for 8.5 CPUs; no connected runner for "basilisk" has more than 8`},
		"not all in one": {`container: {cpu_request: "8", memory_request: 16Gi}`, func(w *world) {
			register(w, "r", sized(8, 8), 0)
			register(w, "s", sized(4, 16), 0)
		}, `no single connected runner for "basilisk" has all the CPUs, memory and GPUs that it asks for`},
		"refused": {"", func(w *world) {
			a, b := w.register("a"), w.register("b")
			_, err := w.svc.Heartbeat(w.Context(), a, nil, false, "the engine does not answer")
			w.ok(err)
			_, err = w.svc.Heartbeat(w.Context(), b, nil, true, "")
			w.ok(err)
			for _, id := range []string{"c", "d", "e", "f", "g"} {
				w.register(id)
				_, err = w.svc.Drain(w.Context(), id)
				w.ok(err)
			}
		}, "no runner that could take it takes jobs now: a is paused: the engine does not answer; b is about to stop; " +
			"c is drained; d is drained; e is drained; and 2 more"},
		"soon": {"", func(w *world) { w.register("r") }, ""},
		"soon, by one of many": {"container: {gpu_request: 1}", func(w *world) {
			register(w, "a", basilisk(), 0)
			s := register(w, "b", basilisk(), 1)
			_, err := w.svc.Heartbeat(w.Context(), s, nil, false, "full")
			w.ok(err)
			register(w, "c", basilisk(), 1)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := w.submit(1, c.compute)
			c.runners(w)
			w.equal("reason", w.reason(b), c.want)
		})
	}
}

func TestOnlyPendingJobsHaveAReason(t *testing.T) {
	w := newWorld(t)
	b := w.submit(2, "")
	s := w.register("r")
	w.one(s)
	w.pass(45 * time.Second) // offline, with its lease
	list, _, err := w.svc.Jobs(t.Context(), platform.JobFilter{BatchID: b.ID}, platform.Page{})
	w.ok(err)
	var got []string
	for _, j := range list {
		got = append(got, fmt.Sprint(j.State, ": ", j.PendingReason))
	}
	w.equal("reasons", got, []string{"Claimed: ", "Pending: no runner is connected"})
}

func TestJobsByRunAndID(t *testing.T) {
	w := newWorld(t)
	a, b := w.submit(3, ""), w.submit(3, "")
	ids := func(f platform.JobFilter) (list []string) {
		jobs, _, err := w.svc.Jobs(t.Context(), f, platform.Page{})
		w.ok(err)
		for _, j := range jobs {
			list = append(list, fmt.Sprint(j.BatchID, "/", j.RunIndex))
		}
		return list
	}
	one := 1
	w.equal("run 1 of a", ids(platform.JobFilter{BatchID: a.ID, RunIndex: &one}), []string{a.ID + "/1"})
	w.equal("run 1", ids(platform.JobFilter{RunIndex: &one}), []string{b.ID + "/1", a.ID + "/1"})
	jobs, _, err := w.svc.Jobs(t.Context(), platform.JobFilter{BatchID: a.ID}, platform.Page{})
	w.ok(err)
	w.equal("by id", ids(platform.JobFilter{IDPrefix: jobs[2].ID}), []string{a.ID + "/2"})
	w.equal("by another batch's id", ids(platform.JobFilter{BatchID: b.ID, IDPrefix: jobs[2].ID}), []string(nil))
}
