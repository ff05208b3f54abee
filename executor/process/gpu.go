package process

import (
	"maps"
	"slices"
	"strings"
)

// gpuVariables are what the vendors' libraries take the GPUs from that a process
// may use: those of NVIDIA, whose GPUs jobs are given, and of others, whose are
// never. None is an empty list, but "void" to NVIDIA's container tools.
var gpuVariables = map[string]struct {
	none   string
	nvidia bool
}{
	"CUDA_VISIBLE_DEVICES": {"", true}, "NVIDIA_VISIBLE_DEVICES": {"void", true},
	"ROCR_VISIBLE_DEVICES": {"", false}, "HIP_VISIBLE_DEVICES": {"", false},
}

// gpuEnvironment is env with the job's GPUs, whatever else it said of them. A
// program that ignores these variables is not held by them: the device files are
// open to every user.
func gpuEnvironment(env, gpus []string) []string {
	out := slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		_, ours := gpuVariables[name]
		return ours
	})
	for _, name := range slices.Sorted(maps.Keys(gpuVariables)) {
		v := gpuVariables[name]
		value := v.none
		if v.nvidia && len(gpus) > 0 {
			value = strings.Join(gpus, ",")
		}
		out = append(out, name+"="+value)
	}
	return out
}
