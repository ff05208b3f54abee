package runner

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/host"
)

// newGPUs finds the GPUs that the configuration offers. A host that is to offer
// all of its own may have none, one that is to offer some must have them.
func newGPUs(cfg *config.Config, finder host.GPUFinder, log *slog.Logger) (*host.GPUPool, error) {
	if cfg.GPUs.None() {
		return host.NewGPUPool(cfg.LockDir, nil, 0), nil
	}
	if finder == nil {
		finder = host.NVIDIA{}
	}
	found, err := finder.GPUs(context.Background())
	if err != nil {
		return nil, fmt.Errorf("gpus: %w", err)
	}
	offered, most := found, len(found)
	switch want := cfg.GPUs; {
	case want.All && len(found) == 0:
		log.Warn("no GPU is offered: none is seen on this host; is the NVIDIA driver loaded?")
	case len(want.IDs) > 0:
		if offered, err = host.ChooseGPUs(found, want.IDs); err != nil {
			return nil, err
		}
		most = len(offered)
	case want.Count > len(found):
		return nil, host.FewerGPUs(found, want.Count)
	case want.Count > 0:
		most = want.Count
	}
	for _, g := range offered {
		log.Info("offering a GPU", "index", g.Index, "uuid", g.UUID, "model", g.Model)
	}
	if err := os.MkdirAll(cfg.LockDir, 0o700); err != nil {
		return nil, fmt.Errorf("lock_dir: %w", err)
	}
	return host.NewGPUPool(cfg.LockDir, offered, most), nil
}
