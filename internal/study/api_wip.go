// Package study: bodies are following.
package study

import "errors"

var errWIP = errors.New("study: not written yet")

// Distribution is how a parameter is distributed.
type Distribution struct{ Shape }

// Shape is Uniform, Normal or Constant.
type Shape interface {
	// Type is the distribution's name in a study file.
	Type() string
	// Quantile is the inverse of the cumulative distribution; u in (0, 1).
	Quantile(u float64) float64
}

// MaxFailed is a count or a percentage of runs.
type MaxFailed struct{}

// ParseMaxFailed reads "3" or "2%".
func ParseMaxFailed(text string) (MaxFailed, error) { return MaxFailed{}, errWIP }

// Limit is the largest number of failed jobs, of total, that still passes.
func (m MaxFailed) Limit(total int) int { return 0 }

// String is the form that ParseMaxFailed reads.
func (m MaxFailed) String() string { return "0" }

// CPUMillis is the CPU request in thousandths of a core; 0 if there is none.
func (c Container) CPUMillis() int64 { return 0 }

// MemoryBytes is the memory request in bytes; 0 if there is none.
func (c Container) MemoryBytes() int64 { return 0 }

// GPUs is the number of GPUs requested.
func (c Container) GPUs() int64 { return 0 }

// Parse reads a study in YAML or JSON.
func Parse(data []byte, filename string) (*Request, error) { return nil, errWIP }

// SetRuns sets RunsOverride, as a command-line flag does.
func (r *Request) SetRuns(n int) error { return errWIP }

// Warnings are sentences about fields that have no effect.
func (r *Request) Warnings() []string { return nil }

// Sample draws the design of r from seed. Pure.
func Sample(r *Request, seed uint64) (*Design, error) { return nil, errWIP }

// Design is a drawn study.
type Design struct{}

// Names are the parameters' names, sorted.
func (d *Design) Names() []string { return nil }

// Units are the parameters' units, in the order of Names.
func (d *Design) Units() []string { return nil }

// Runs is the number of rows.
func (d *Design) Runs() int { return 0 }

// Row is a new slice of run k's values, in the order of Names.
func (d *Design) Row(k int) []float64 { return nil }

// RunSeed is the seed that run k gets, at most MaxSeed.
func (d *Design) RunSeed(k int) uint64 { return 0 }

// Seed is the seed that the design was drawn from.
func (d *Design) Seed() uint64 { return 0 }
