package config

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestValuesAreWhatAFileSays: every setting has a value, and a file of these
// values is the same configuration.
func TestValuesAreWhatAFileSays(t *testing.T) {
	c := mustLoad(t, `
token_file: /t
environment: {A: b}
engines: [basilisk, command]
commands: {one: [/bin/one, -v], two: {argv: [two], image: other}}
basilisk_entrypoint: s.py
retention: {outputs: {age: 30d, size: 50Gi}, images: {age: 36h}, rejected: {age: 13w}}
capabilities: {cpu_cores: 2.5, gpu_available: true}
sandbox:
  {cpu: 500m, memory: 1536Mi, timeout: 90s, output: {files: 7}, output_owner: 1000:1001, allowed_images: [x],
   data_mounts: [{source: /srv/d, target: /data}], capabilities: [CAP_KILL], devices: [/dev/kvm], runtime: runsc,
   unenforced: [swap], rlimits: [{type: RLIMIT_STACK, hard: unlimited, soft: 8Mi}]}
`, nil, nil)
	var paths []string
	for path, v := range c.values() {
		paths = append(paths, path)
		if v == nil {
			t.Errorf("%s has no value", path)
		}
	}
	want := Paths()
	slices.Sort(want)
	slices.Sort(paths)
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("settings with a value (-want +got):\n%s", diff)
	}
	again := mustLoad(t, asFile(t, c), nil, nil)
	if diff := cmp.Diff(c, again, cmpopts.IgnoreUnexported(Config{})); diff != "" {
		t.Errorf("of its own values (-want +got):\n%s", diff)
	}
}

// TestOtherDefaults lie below everything else, and are defaults.
func TestOtherDefaults(t *testing.T) {
	base := map[string]string{"working-directory": "/srv/other", "image": "base"}
	c, err := load(base, "", []string{"LYNX_RUNNER_IMAGE=env"}, nil, testHost)
	if err != nil {
		t.Fatal(err)
	}
	if c.WorkingDirectory != "/srv/other" || c.Origin("working_directory").Kind != "default" {
		t.Errorf("working directory %s from %v", c.WorkingDirectory, c.Origin("working_directory"))
	}
	if c.Image != "env" || c.Origin("image").Kind != "env" {
		t.Errorf("image %s from %v", c.Image, c.Origin("image"))
	}
	if _, err := load(map[string]string{"wroking-directory": "x"}, "", nil, nil, testHost); err == nil {
		t.Error("a default for a setting that there is not was taken")
	}
}
