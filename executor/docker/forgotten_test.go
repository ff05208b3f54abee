package docker

import (
	"slices"
	"strings"
	"testing"
)

func TestProcessesOf(t *testing.T) {
	id, other := strings.Repeat("0f3d", 16), strings.Repeat("abcd", 16)
	in := func(id string) string { return "4:memory:/docker/" + id + "\n0::/\n" }
	proc := writeFiles(t, map[string]string{
		"7/cgroup": in(id), "7/stat": "7 (job) S 1 1 1",
		"8/cgroup": in(id), "8/stat": "8 (a ) Z) R 1 1 1",
		"9/cgroup": in(id), "9/stat": "9 (ended) Z 1 1 1",
		"10/cgroup": in(id), // gone between the two
		"11/cgroup": in(other), "11/stat": "11 (other) R 1 1 1",
		"self/cgroup": in(id), "self/stat": "12 (us) R 1 1 1",
	})
	got := processesOf(proc, id)
	slices.Sort(got)
	if !slices.Equal(got, []int{7, 8}) {
		t.Errorf("got %v, want 7 and 8", got)
	}
	keeper := func(id string) string {
		return "/usr/bin/containerd-shim-runc-v2\x00-namespace\x00moby\x00-id\x00" + id + "\x00-address\x00/x\x00"
	}
	proc = writeFiles(t, map[string]string{
		"7/cmdline": keeper(id), "8/cmdline": keeper(other), "9/cmdline": "sh\x00-id\x00" + id + "\x00", "10/cmdline": "", "11/cmdline": "containerd-shim\x00-id",
	})
	if got := keepersOf(proc, id); !slices.Equal(got, []int{7}) {
		t.Errorf("keepers %v, want 7", got)
	}
	for _, bad := range []string{"", "0f3d", id + "/", strings.ToUpper(id)} {
		if got := slices.Concat(processesOf(proc, bad), keepersOf(proc, bad)); len(got) > 0 {
			t.Errorf("%q has %v", bad, got)
		}
	}
}
