package executor

import (
	"strings"
	"testing"
)

// Nothing gets into a list of GPUs that means more than one, or more than once.
func TestCheckGPUs(t *testing.T) {
	for _, ok := range [][]string{nil, {"0"}, {"GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "1"}, {"MIG-GPU-8932f937-d72c/1/0"}} {
		if err := CheckGPUs(ok); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
	for _, bad := range [][]string{{"all"}, {""}, {"0,1"}, {"none"}, {"void"}, {"-1"}, {"GPU-a,GPU-b"}, {"GPU-a\x00"}, {"GPU-"}, {"12345"}, {"GPU-" + strings.Repeat("a", 101)}, {"0", "1", "0"}} {
		if err := CheckGPUs(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
