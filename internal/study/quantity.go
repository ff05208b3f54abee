package study

import (
	"errors"
	"regexp"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Quantity is a Kubernetes quantity as written, "1500m" or "2Gi"; empty if there
// is none.
type Quantity string

// The bounds of what a batch can ask for; a runner's own maxima are lower.
const (
	minCPUMillis = 1
	maxCPUMillis = 1_000_000
	// The engine refuses containers with less than 6 MiB.
	minMemoryBytes = 6 << 20
	maxMemoryBytes = 1 << 50
	maxGPUs        = 1024
)

// quantityForm is what ParseQuantity accepts, less signs and less the lengths that
// would only cost time: an exponent of nine digits is a number of 10^9 digits.
var quantityForm = regexp.MustCompile(`^[0-9]{1,18}(\.[0-9]{0,9})?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?$`)

// UnmarshalText checks the form, as Kubernetes has it.
func (q *Quantity) UnmarshalText(text []byte) error {
	if !quantityForm.Match(text) {
		return errors.New("not a Kubernetes quantity; want a number with an optional suffix, such as 2, 500m or 2Gi")
	}
	if _, err := resource.ParseQuantity(string(text)); err != nil {
		return errors.New("not a Kubernetes quantity; want one such as 2, 500m or 2Gi")
	}
	*q = Quantity(text)
	return nil
}

// parsed is the quantity's value; zero for an empty or malformed one.
func (q Quantity) parsed() resource.Quantity {
	if !quantityForm.MatchString(string(q)) {
		return resource.Quantity{}
	}
	value, err := resource.ParseQuantity(string(q))
	if err != nil {
		return resource.Quantity{}
	}
	return value
}

// CPUMillis is the CPU request in thousandths of a core; 0 if there is none.
func (c Container) CPUMillis() int64 {
	q := c.CPURequest.parsed()
	return q.MilliValue()
}

// MemoryBytes is the memory request in bytes; 0 if there is none.
func (c Container) MemoryBytes() int64 {
	q := c.MemoryRequest.parsed()
	return q.Value()
}

// GPUs is the number of GPUs requested; 0 if there are none.
func (c Container) GPUs() int64 {
	q := c.GPURequest.parsed()
	return q.Value()
}
