//go:build engine

package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// request is a batch that asks for more than it may have, and that the platform
// takes, since only the runner's owner knows what may be had.
type request struct {
	name, entrypoint, compute string
	says                      []string
}

var requests = []request{
	{name: "image_not_allowed", compute: "container: {image: 'somebody/elses:latest'}", says: []string{"somebody/elses", "allow"}},
	{name: "image_by_digest", compute: "container: {image: '" + repository + "@sha256:" + strings.Repeat("0", 64) + "'}", says: []string{"allow"}},
	{name: "too_much_memory", compute: "container: {memory_request: 1Ti}", says: []string{"memory"}},
	{name: "too_many_cpus", compute: "container: {cpu_request: '64'}", says: []string{"cpu"}},
	{name: "too_many_gpus", compute: "container: {gpu_request: '8'}", says: []string{"gpu"}},
	{name: "too_much_time", compute: "job_timeout_seconds: 86400", says: []string{"time"}},
	{name: "entrypoint_missing", entrypoint: "nothing", says: []string{"nothing"}},
	{name: "entrypoint_link", entrypoint: "escape", says: []string{"escape"}},
	{name: "entrypoint_absolute_link", entrypoint: "absolute", says: []string{"absolute"}},
	{name: "entrypoint_directory", entrypoint: "sub", says: []string{"regular file"}},
}

// requests: nothing that a batch asks for beyond what the owner allows is ever
// started. Either the runner says why, or nobody takes the job, with the reason.
func (s *site) requests(t *testing.T) {
	batches := make([]string, len(requests))
	for i, r := range requests {
		entrypoint := r.entrypoint
		if entrypoint == "" {
			entrypoint = "who"
		}
		batches[i] = s.Submit(t, study(entrypoint, r.compute, ""))
	}
	// Jobs are claimed in order: what waits now was passed over.
	if last := s.wait(t, s.Submit(t, study("who", "", ""))); last.Outcome != api.OutcomeCompleted {
		t.Fatalf("%s: %s", last.Outcome, last.message)
	}
	for i, r := range requests {
		t.Run(r.name, func(t *testing.T) { s.denied(t, r, batches[i]) })
	}
}

func (s *site) denied(t *testing.T, r request, batch string) {
	t.Helper()
	b, err := s.Client.Batch(t.Context(), batch)
	stand.Must(t, err)
	if b.Batch.CompletedAt == nil {
		for row, err := range s.Client.AllBatchResults(t.Context(), batch) {
			stand.Must(t, err)
			if row.Status != api.JobPending {
				t.Errorf("the job is %s", row.Status)
			}
		}
		_, err := s.Client.CancelBatch(t.Context(), batch)
		stand.Must(t, err)
		return
	}
	e := s.wait(t, batch)
	if e.Outcome != api.OutcomeInvalidJob {
		t.Errorf("outcome %s: %s", e.Outcome, e.message)
	}
	for _, word := range r.says {
		if !strings.Contains(strings.ToLower(e.message), word) {
			t.Errorf("the message does not say %q: %s", word, e.message)
		}
	}
}

// submission is a text that the platform must refuse by itself.
type submission struct {
	name string
	body func() []byte
	// statuses are the answers that will do; 0 is a connection that was cut.
	statuses []int
}

// valid is a study with one thing to be replaced.
func replaced(old, with string) func() []byte {
	return func() []byte {
		text := "name: hostile\nconfig:\n  simulation: {name: Hostile, version: 1.0.0, entrypoint: who}\n" +
			"  monte_carlo: {runs: 1, seed: 1}\n  compute: {}\n  dispersions: {a: {distribution: {type: constant, value: 1}, units: m}}\n"
		if !strings.Contains(text, old) {
			panic("there is no " + old)
		}
		return []byte(strings.Replace(text, old, with, 1))
	}
}

var refusedByPlatform = []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity}

var submissions = []submission{
	{name: "yaml_aliases", body: aliasBomb, statuses: refusedByPlatform},
	{name: "yaml_deep", body: func() []byte { return bytes.Repeat([]byte("["), 1<<20) }, statuses: refusedByPlatform},
	{name: "yaml_merge", body: replaced("compute: {}", "compute: &c {<<: *c}"), statuses: refusedByPlatform},
	{name: "yaml_tag", body: replaced("name: hostile", "name: !!binary AAAA"), statuses: refusedByPlatform},
	{name: "not_utf8", body: replaced("name: hostile", "name: \"\xff\xfe\""), statuses: refusedByPlatform},
	{name: "large", body: func() []byte { return bytes.Repeat([]byte("# x\n"), 25<<20) }, statuses: append([]int{0}, refusedByPlatform...)},
	{name: "name_control", body: replaced("name: hostile", `name: "a\x1b[31m\nb"`), statuses: refusedByPlatform},
	{name: "name_long", body: replaced("name: hostile", "name: "+strings.Repeat("x", 100_000)), statuses: refusedByPlatform},
	{name: "entrypoint_above", body: replaced("entrypoint: who", "entrypoint: ../../etc/passwd"), statuses: refusedByPlatform},
	{name: "entrypoint_through", body: replaced("entrypoint: who", "entrypoint: sub/../../secret/key"), statuses: refusedByPlatform},
	{name: "entrypoint_absolute", body: replaced("entrypoint: who", "entrypoint: /etc/passwd"), statuses: refusedByPlatform},
	{name: "entrypoint_nul", body: replaced("entrypoint: who", `entrypoint: "who\0.py"`), statuses: refusedByPlatform},
	{name: "parameter_path", body: replaced("{a: {", "{../../a: {"), statuses: refusedByPlatform},
	{name: "parameter_formula", body: replaced("{a: {", "{'=cmd()': {"), statuses: refusedByPlatform},
	{name: "image_option", body: replaced("compute: {}", "compute: {container: {image: '--privileged'}}"), statuses: refusedByPlatform},
	{name: "memory_negative", body: replaced("compute: {}", "compute: {container: {memory_request: -1}}"), statuses: refusedByPlatform},
	{name: "memory_exponent", body: replaced("compute: {}", "compute: {container: {memory_request: 1e9999999}}"), statuses: refusedByPlatform},
	{name: "memory_nan", body: replaced("compute: {}", "compute: {container: {memory_request: .nan}}"), statuses: refusedByPlatform},
	{name: "timeout_negative", body: replaced("compute: {}", "compute: {job_timeout_seconds: -1}"), statuses: refusedByPlatform},
	{name: "runs_many", body: replaced("runs: 1", "runs: 99999999999"), statuses: refusedByPlatform},
	{name: "privileged", body: replaced("compute: {}", "compute: {container: {privileged: true}}"), statuses: refusedByPlatform},
	{name: "mounts", body: replaced("compute: {}", "compute: {container: {volumes: ['/:/host']}}"), statuses: refusedByPlatform},
	{name: "network", body: replaced("compute: {}", "compute: {container: {network: host}}"), statuses: refusedByPlatform},
}

// aliasBomb is a text of a kilobyte that stands for 10^10 values.
func aliasBomb() []byte {
	var b strings.Builder
	b.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [", i, i)
		for range 10 {
			fmt.Fprintf(&b, "*a%d,", i-1)
		}
		b.WriteString("]\n")
	}
	return []byte(b.String())
}

// submissions: each is answered with an error, by a platform that goes on.
func (s *site) submissions(t *testing.T) {
	for _, sub := range submissions {
		t.Run(sub.name, func(t *testing.T) {
			before := resident(t, s.Server.Pid())
			status, text := s.post(t, sub.body())
			ok := false
			for _, want := range sub.statuses {
				ok = ok || status == want
			}
			if !ok {
				t.Errorf("status %d: %.300s", status, text)
			}
			if len(text) > 64<<10 {
				t.Errorf("the answer has %d bytes", len(text))
			}
			if after := resident(t, s.Server.Pid()); after > before+512<<20 {
				t.Errorf("the platform has %d MiB resident, before %d", after>>20, before>>20)
			}
			if _, err := s.Client.Health(t.Context()); err != nil {
				t.Errorf("the platform does not go on: %v", err)
			}
		})
	}
	var accepted api.Submission
	if status, text := s.post(t, replaced("runs: 1", "runs: 1")()); json.Unmarshal([]byte(text), &accepted) != nil || accepted.BatchID == "" {
		t.Fatalf("status %d of a submission that is fine: %.300s", status, text)
	}
	if e := s.wait(t, accepted.BatchID); e.Outcome != api.OutcomeCompleted {
		t.Errorf("%s: %s", e.Outcome, e.message)
	}
}
