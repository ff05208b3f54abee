package config

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/strictyaml"
)

// GPUs is which GPUs of the host a runner offers to jobs. The zero value is none.
// At most one field is set.
type GPUs struct {
	// All offers every one.
	All bool
	// Count offers so many at a time, whichever no other runner has.
	Count int
	// IDs offers these, by UUID or index.
	IDs []string
}

// None says that no GPU is offered.
func (g GPUs) None() bool { return !g.All && g.Count == 0 && len(g.IDs) == 0 }

// maxGPUs is more than any host has.
const maxGPUs = 1024

// UnmarshalText reads none, all, a number, or ids separated by commas.
func (g *GPUs) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	switch s {
	case "none":
		*g = GPUs{}
		return nil
	case "all":
		*g = GPUs{All: true}
		return nil
	}
	if n, err := strconv.Atoi(s); err == nil {
		if n < 0 || n > maxGPUs {
			return errors.New("not a number of GPUs; write none, all, a number, or a list of UUIDs or indices")
		}
		*g = GPUs{Count: n}
		return nil
	}
	return g.list(strings.Split(strings.Trim(s, "[]"), ","))
}

func (g *GPUs) list(ids []string) error {
	for i := range ids {
		ids[i] = strings.Trim(strings.TrimSpace(ids[i]), `"'`)
	}
	if err := executor.CheckGPUs(ids); err != nil {
		return err
	}
	*g = GPUs{IDs: ids}
	return nil
}

// DecodeStrict implements strictyaml.Decoder: a list is one of ids, so that [2] is
// the GPU of that index and 2 a number of GPUs.
func (g *GPUs) DecodeStrict(v strictyaml.Value) bool {
	var err error
	switch v.Kind() {
	case strictyaml.List:
		var ids []gpuName
		if !v.Decode(&ids) {
			return false
		}
		list := make([]string, len(ids))
		for i, id := range ids {
			list[i] = string(id)
		}
		err = g.list(list)
	case strictyaml.Text, strictyaml.Number:
		err = g.UnmarshalText([]byte(v.Text()))
	default:
		err = errors.New("not GPUs; write none, all, a number, or a list of UUIDs or indices")
	}
	if err != nil {
		v.Errorf("%v", err)
	}
	return err == nil
}

// gpuName is an id in a list, where an index may stand without quotes.
type gpuName string

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *gpuName) UnmarshalText(text []byte) error {
	*n = gpuName(text)
	return nil
}

// value is the setting as it could stand in a file.
func (g GPUs) value() any {
	switch {
	case g.All:
		return "all"
	case len(g.IDs) > 0:
		return slices.Clone(g.IDs)
	case g.Count > 0:
		return g.Count
	}
	return "none"
}

// gpus settles which GPUs are offered. The documented capability means all of them
// where nothing more exact is said.
func (r *resolver) gpus() {
	c := r.cfg
	if c.Capabilities.GPUAvailable {
		c.GPUs = GPUs{All: true}
	}
	set(&c.GPUs, r.doc.GPUs)
}
