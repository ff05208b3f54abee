package retention

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
	"github.com/tetryx/lynx-runner/internal/runner/shared"
)

// leftovers removes what a runner that was killed left. The state directory is
// locked.
func (c *cleaner) leftovers(ctx context.Context, held journal.Held) error {
	used := map[string]bool{}
	for _, dir := range held.RuntimeDirs {
		used[filepath.Base(dir)] = true
	}
	if err := c.ofProcesses(used); err != nil {
		c.report.note("sockets stay: %v", err)
		return nil
	}
	if c.Engine != nil {
		engine, done, err := c.Engine(ctx)
		if err != nil {
			return err
		}
		defer done()
		if err := c.containers(ctx, engine, held, used); err != nil {
			return err
		}
		c.mounts()
		if err := c.images(ctx, engine, held); err != nil {
			return err
		}
	}
	return c.sockets(ctx, held, used)
}

// ofProcesses adds the runtime directories of attempts that are processes: the
// next runner ends them, and removes what is theirs.
func (c *cleaner) ofProcesses(used map[string]bool) error {
	dir := filepath.Join(c.Config.StateDir, "process")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		var state struct {
			RuntimeDir string `json:"runtime_dir"`
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name(), "state.json"))
		if err == nil {
			err = json.Unmarshal(data, &state)
		}
		if err != nil {
			return fmt.Errorf("what belongs to the process of attempt %s can't be read, start the runner to have it dealt with: %w", e.Name(), err)
		}
		used[filepath.Base(state.RuntimeDir)] = true
	}
	return nil
}

// NobodysContainer decides whether a container is nobody's: it has ended, was made
// by a runner with this state directory, and is not in its hand. Another runner
// may have the same id by mistake; the runtime directory tells the two apart.
func NobodysContainer(c executor.Container, held journal.Held) bool {
	return c.Ended && !held.InHand[c.AttemptID] &&
		filepath.Base(filepath.Dir(c.RuntimeDir)) == held.InstallationID[:8]
}

// containers removes those that are nobody's, and adds what the others use.
func (c *cleaner) containers(ctx context.Context, engine executor.Cleaner, held journal.Held, used map[string]bool) error {
	list, err := engine.Containers(ctx)
	if err != nil {
		return err
	}
	for _, container := range list {
		if !NobodysContainer(container, held) {
			used[filepath.Base(container.RuntimeDir)] = true
			c.sharing = c.sharing || strings.HasPrefix(container.AttemptID, shared.Prefix)
			if !container.Ended && !held.InHand[container.AttemptID] {
				c.report.note("container %s runs and is not in the runner's hand; the next start of the runner ends it", container.Name)
			}
			continue
		}
		c.do(Item{Kind: KindContainer, Where: container.Name, Since: container.Since, Why: "it has ended, and its attempt is in nobody's hand"},
			func() error { return engine.RemoveContainer(ctx, container.ID) })
	}
	return nil
}

// mounts removes the directory of shared containers, of which none is left.
func (c *cleaner) mounts() {
	dir := shared.Dir(c.Config.OutputRoot, c.Config.RunnerID)
	info, err := os.Lstat(dir)
	if err != nil || c.sharing {
		return
	}
	c.do(Item{Kind: KindMounts, Where: dir, Since: info.ModTime(), Why: "no container serves runs any more"},
		func() error { return shared.Sweep(dir) })
}

// WhyImage decides whether an image goes, and says why; empty if it stays. One
// that was built goes when a newer build has taken its name, and its stages, which
// make builds quick, when they are as old as a pulled image that was not used; that
// one only if the runner may pull it again.
func WhyImage(i executor.Image, age *time.Duration, mayPull bool, now time.Time) string {
	switch {
	case i.InUse:
		return ""
	case i.Title != "" && len(i.Names) == 0:
		return "a newer build of " + i.Title + " has taken its name"
	case age == nil:
		return ""
	case i.Stage && len(i.Names) == 0 && now.Sub(i.Created) > *age:
		return "a stage of a build more than " + config.ShowAge(*age) + " ago"
	case i.Pulled && mayPull && now.Sub(i.Used) > *age:
		return "it was pulled, and not used for " + config.ShowAge(*age)
	}
	return ""
}

func (c *cleaner) images(ctx context.Context, engine executor.Cleaner, held journal.Held) error {
	list, err := engine.Images(ctx)
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, id := range held.ImageIDs {
		needed[id] = true
	}
	for _, image := range list {
		why := WhyImage(image, c.Config.Retention.ImageAge, c.Config.PullPolicy != config.PullNever, c.now)
		if why == "" || needed[image.ID] {
			continue
		}
		since := image.Created
		if image.Pulled {
			since = image.Used
		}
		where := image.ID
		if len(image.Names) > 0 {
			where = strings.Join(image.Names, ", ")
		}
		c.do(Item{Kind: KindImage, Where: where, Bytes: image.Bytes, Since: since, Why: why},
			func() error { return engine.RemoveImage(ctx, image) })
	}
	return nil
}

// sockets removes the runtime directories of attempts that are over.
func (c *cleaner) sockets(ctx context.Context, held journal.Held, used map[string]bool) error {
	path := filepath.Join(c.Config.RuntimeDir, held.InstallationID[:8])
	root, err := os.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("runtime_dir: %w", err)
	}
	defer func() { _ = root.Close() }()
	entries, err := list(root, -1)
	if err != nil {
		return fmt.Errorf("runtime_dir: %w", err)
	}
	for _, e := range entries {
		info, err := root.Lstat(e.Name())
		if err != nil || !info.IsDir() || used[e.Name()] {
			continue
		}
		c.do(Item{Kind: KindSockets, Where: filepath.Join(path, e.Name()), Since: info.ModTime(), Why: "no attempt in hand and no container uses them"},
			func() error { return remove(ctx, root, e.Name(), asidePrefix+"sockets", info) })
	}
	return ctx.Err()
}
