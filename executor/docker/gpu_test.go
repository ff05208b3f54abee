package docker

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/executor"
)

// askedGPUs is what the engine was asked for: device requests, and what the
// environment of PID 1 says to a vendor's runtime.
func askedGPUs(t *testing.T, gpus ...string) (requests []map[string]any, env []string) {
	t.Helper()
	d := newDaemon(t)
	d.init = fakeInit{Report: report(0)}
	spec := testSpec(t)
	spec.GPUs = gpus
	if _, err := mustStart(t, d.executor(), spec).Kill(t.Context()); err != nil {
		t.Error(err)
	}
	var body struct {
		Env        []string
		HostConfig struct{ DeviceRequests []map[string]any }
	}
	if err := json.Unmarshal(d.created, &body); err != nil {
		t.Fatal(err)
	}
	env = slices.DeleteFunc(body.Env, func(kv string) bool { return len(kv) < 7 || kv[:7] != "NVIDIA_" })
	return body.HostConfig.DeviceRequests, env
}

// The GPUs of a job are asked for one by one, by their ids, never by number, and
// the image's word on them never counts.
func TestGPURequest(t *testing.T) {
	requests, env := askedGPUs(t, "GPU-a", "GPU-b")
	want := []map[string]any{{
		"Driver": "", "Count": 0., "DeviceIDs": []any{"GPU-a", "GPU-b"},
		"Capabilities": []any{[]any{"gpu", "compute", "utility"}}, "Options": nil,
	}}
	if diff := cmp.Diff(want, requests); diff != "" {
		t.Errorf("device requests (-want +got):\n%s", diff)
	}
	if want := []string{"NVIDIA_VISIBLE_DEVICES=GPU-a,GPU-b", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"}; !slices.Equal(env, want) {
		t.Errorf("environment %q, want %q", env, want)
	}
}

func TestNoGPURequest(t *testing.T) {
	requests, env := askedGPUs(t)
	if len(requests) > 0 {
		t.Errorf("device requests %v", requests)
	}
	if want := []string{"NVIDIA_VISIBLE_DEVICES=void", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"}; !slices.Equal(env, want) {
		t.Errorf("environment %q, want %q", env, want)
	}
}

func TestBadGPUs(t *testing.T) {
	spec := testSpec(t)
	spec.GPUs = []string{"all"}
	if _, err := newDaemon(t).executor().Start(t.Context(), spec); !errors.Is(err, executor.ErrInvalidSpec) {
		t.Errorf("error %v", err)
	}
}

// An engine that answers is alive; one that does not is not available.
func TestPing(t *testing.T) {
	d := newDaemon(t)
	e := d.executor()
	if err := e.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	e.engine.timeout = 1 // ns
	if err := e.Ping(t.Context()); !errors.Is(err, executor.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
	e.engine.timeout = e.cfg.CallTimeout
	for _, method := range []string{"HEAD", "GET"} {
		d.on(method+" /_ping", status(500))
	}
	if err := e.Ping(t.Context()); !errors.Is(err, executor.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}
