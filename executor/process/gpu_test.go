package process

import (
	"slices"
	"testing"
)

// A job's environment names its own GPUs and no others, whoever set what before.
func TestGPUEnvironment(t *testing.T) {
	before := []string{"A=1", "CUDA_VISIBLE_DEVICES=0,1,2", "NVIDIA_VISIBLE_DEVICES=all", "ROCR_VISIBLE_DEVICES=0", "CUDA=x"}
	for _, tc := range []struct{ gpus, want []string }{
		{nil, []string{"A=1", "CUDA=x", "CUDA_VISIBLE_DEVICES=", "HIP_VISIBLE_DEVICES=", "NVIDIA_VISIBLE_DEVICES=void", "ROCR_VISIBLE_DEVICES="}},
		{[]string{"GPU-a", "GPU-b"}, []string{"A=1", "CUDA=x", "CUDA_VISIBLE_DEVICES=GPU-a,GPU-b", "HIP_VISIBLE_DEVICES=", "NVIDIA_VISIBLE_DEVICES=GPU-a,GPU-b", "ROCR_VISIBLE_DEVICES="}},
	} {
		if got := gpuEnvironment(before, tc.gpus); !slices.Equal(got, tc.want) {
			t.Errorf("%v: %q\nwant %q", tc.gpus, got, tc.want)
		}
	}
	if before[1] != "CUDA_VISIBLE_DEVICES=0,1,2" {
		t.Error("the specification was changed")
	}
}

// The translation is that of the OCI runtimes, so that both executors' jobs weigh
// the same.
func TestWeights(t *testing.T) {
	n := func(v uint64) *uint64 { return &v }
	for _, tc := range []struct {
		shares *uint64
		want   weight
	}{
		{nil, weight{"1024", "100"}}, {n(0), weight{"2", "1"}}, {n(256), weight{"256", "10"}},
		{n(1024), weight{"1024", "39"}}, {n(1 << 40), weight{"262144", "10000"}},
	} {
		if got := weights(tc.shares); got != tc.want {
			t.Errorf("%v: %v, want %v", tc.shares, got, tc.want)
		}
	}
}
