package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// GPU is a device that jobs can be given.
type GPU struct {
	// Index is its number as the vendor's tools count: in the order of the bus.
	Index int
	// UUID is its name for all time: "GPU-8932f937-d72c-…".
	UUID string
	// Model is for people.
	Model string
}

// GPUFinder finds the GPUs of this host, in the order of their indices. None is no
// error.
type GPUFinder interface {
	GPUs(ctx context.Context) ([]GPU, error)
}

// GPUPool are the GPUs that a runner offers. Its methods may be called
// concurrently.
type GPUPool struct {
	dir  string
	gpus []GPU
	// most is how many it may hold at a time.
	most int

	mu   sync.Mutex
	held map[string]*os.File // by UUID
}

// NewGPUPool offers up to most of the GPUs at a time. Each is locked in dir, which
// every runner of the host shares, while a job has it.
func NewGPUPool(dir string, gpus []GPU, most int) *GPUPool {
	return &GPUPool{dir: dir, gpus: gpus, most: min(most, len(gpus)), held: map[string]*os.File{}}
}

// Size is how many GPUs jobs can have at a time, if no other runner has any.
func (p *GPUPool) Size() int { return p.most }

// Take locks n GPUs, all or none, and returns their ids. ok is false where there
// are not as many to be had now.
func (p *GPUPool) Take(n int) (ids []string, ok bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.held)+n > p.most {
		return nil, false, nil
	}
	got := map[string]*os.File{}
	// Every runner tries in the same order, so that of two that want the same, one
	// gets all of it.
	for _, g := range p.gpus {
		if len(got) == n {
			break
		}
		f, lockErr := p.lock(g)
		if lockErr != nil {
			err = errors.Join(err, lockErr)
		}
		if f != nil {
			got[g.UUID] = f
			ids = append(ids, g.UUID)
		}
	}
	if len(got) < n || err != nil {
		unlock(got)
		return nil, false, err
	}
	for id, f := range got {
		p.held[id] = f
	}
	return ids, true, nil
}

// Retake locks GPUs that a job has from an earlier process of this runner, all or
// none, also where they are more than are offered now.
func (p *GPUPool) Retake(ids []string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := map[string]*os.File{}
	for _, id := range ids {
		f, err := p.lock(GPU{UUID: id})
		if f == nil {
			unlock(got)
			return errors.Join(fmt.Errorf("GPU %s is another's now", id), err)
		}
		got[id] = f
	}
	maps.Copy(p.held, got)
	return nil
}

// lock takes a GPU's lock; nil where somebody has it.
func (p *GPUPool) lock(g GPU) (*os.File, error) {
	if p.held[g.UUID] != nil {
		return nil, nil
	}
	f, err := Lock(p.dir, "gpu-"+strings.ReplaceAll(g.UUID, "/", "_"))
	if errors.Is(err, ErrTaken) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lock_dir: %w", err)
	}
	return f, nil
}

// Give gives GPUs back.
func (p *GPUPool) Give(ids []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	back := map[string]*os.File{}
	for _, id := range ids {
		back[id] = p.held[id]
		delete(p.held, id)
	}
	unlock(back)
}

// Free is how many more could be taken at this moment: what nobody has.
func (p *GPUPool) Free() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	got := map[string]*os.File{}
	for _, g := range p.gpus {
		if len(p.held)+len(got) >= p.most {
			break
		}
		if f, err := p.lock(g); err == nil && f != nil {
			got[g.UUID] = f
		}
	}
	unlock(got)
	return len(got)
}

// Close gives back what is held.
func (p *GPUPool) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	unlock(p.held)
	clear(p.held)
}

// unlock closes a lock's file, which gives it back.
func unlock(locks map[string]*os.File) {
	for _, f := range locks {
		if f != nil {
			_ = f.Close()
		}
	}
}

// ChooseGPUs picks those that a configuration names, by UUID or index, in the
// order of their indices.
func ChooseGPUs(all []GPU, names []string) ([]GPU, error) {
	var chosen []GPU
	for _, name := range names {
		i := slices.IndexFunc(all, func(g GPU) bool { return g.UUID == name || strconv.Itoa(g.Index) == name })
		switch {
		case i < 0:
			return nil, fmt.Errorf("gpus: this host has no GPU %s; it has %s", name, describe(all))
		case slices.Contains(chosen, all[i]):
			return nil, fmt.Errorf("gpus: %s names GPU %d a second time", name, all[i].Index)
		}
		chosen = append(chosen, all[i])
	}
	slices.SortFunc(chosen, func(a, b GPU) int { return a.Index - b.Index })
	return chosen, nil
}

// describe lists GPUs for a person.
func describe(all []GPU) string {
	if len(all) == 0 {
		return "none that can be seen (is the NVIDIA driver loaded?)"
	}
	var list []string
	for _, g := range all {
		list = append(list, fmt.Sprintf("%d: %s (%s)", g.Index, g.UUID, g.Model))
	}
	return strings.Join(list, ", ")
}

// FewerGPUs is the error for a host that has not as many as it should offer.
func FewerGPUs(all []GPU, want int) error {
	return fmt.Errorf("gpus: %d are to be offered, and this host has %s", want, describe(all))
}
