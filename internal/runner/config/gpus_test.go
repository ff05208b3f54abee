package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// onHost loads a file's text on a host of so much memory.
func onHost(memory int64, text string) (*Config, error) {
	h := testHost
	h.memory = memory
	dir, err := os.MkdirTemp("", "config")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "runner.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return load(map[string]string{"working-directory": "/srv/work"}, path, nil, nil, h)
}

func TestGPUs(t *testing.T) {
	for text, want := range map[string]GPUs{
		"{}": {}, "gpus: none": {}, "gpus: all": {All: true}, "gpus: 2": {Count: 2}, "gpus: 0": {},
		"gpus: [2]": {IDs: []string{"2"}}, "gpus: ['2', GPU-1a2b]": {IDs: []string{"2", "GPU-1a2b"}}, "gpus: 0,3": {IDs: []string{"0", "3"}},
		"gpus: GPU-1a2b": {IDs: []string{"GPU-1a2b"}}, "gpus: []": {},
		// The documented field alone means all of them; the exact setting wins.
		"capabilities: {gpu_available: true}":             {All: true},
		"capabilities: {gpu_available: true}\ngpus: 1":    {Count: 1},
		"capabilities: {gpu_available: false}\ngpus: all": {All: true},
		"capabilities: {gpu_available: true}\ngpus: none": {},
	} {
		c, err := onHost(16<<30, text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if c.GPUs.All != want.All || c.GPUs.Count != want.Count || !slices.Equal(c.GPUs.IDs, want.IDs) || c.GPUs.None() != (want.value() == "none") {
			t.Errorf("%s: %+v, want %+v", text, c.GPUs, want)
		}
	}
	for _, text := range []string{"gpus: some", "gpus: -1", "gpus: 1025", "gpus: [0, 0]", "gpus: [all]", "gpus: 1.5", "gpus: true", "gpus: {a: 1}", "gpus: [[0]]", "gpus: '0,all'"} {
		if _, err := onHost(16<<30, text); err == nil || !strings.Contains(err.Error(), "runner.yaml:1:") || !strings.Contains(err.Error(), "gpus") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
