package executor

import (
	"fmt"
	"regexp"
	"slices"
)

// gpuID is what may stand in a list of GPUs: NVIDIA's UUIDs ("GPU-1a2b…", also of
// a MIG device, "MIG-…") and indices. Nothing that separates or means "all".
var gpuID = regexp.MustCompile(`^([0-9]{1,4}|(GPU|MIG)-[A-Za-z0-9/-]{1,100})$`)

// CheckGPUs refuses what is no list of GPUs' ids, each once.
func CheckGPUs(ids []string) error {
	for i, id := range ids {
		switch {
		case !gpuID.MatchString(id):
			return fmt.Errorf("%q is not a GPU's id; want its UUID, such as GPU-1a2b3c4d-…, or its index", id)
		case slices.Contains(ids[:i], id):
			return fmt.Errorf("GPU %s is named twice", id)
		}
	}
	return nil
}
