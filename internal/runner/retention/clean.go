package retention

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
)

// recently is for how long results stay in any case while a runner runs.
const recently = time.Hour

// Options is what Clean works on.
type Options struct {
	// Config names the directories and the bounds.
	Config *config.Config
	// Engine connects to the engine; nil where jobs are processes. What it returns
	// is closed by its second result.
	Engine func(context.Context) (executor.Cleaner, func(), error)
	// DryRun finds everything and removes nothing.
	DryRun bool
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Clean removes what is not needed any more, and says what that was; with DryRun
// it only says so. What can't be removed is an Item with an Error. An error is a
// state directory that no runner has used (journal.ErrNoState: nothing would say
// what is needed), an output root that can't be read, an engine that does not
// answer (executor.ErrUnavailable), or the end of ctx; the Report then says what
// was done before.
func Clean(ctx context.Context, o Options) (*Report, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &cleaner{Options: o, report: &Report{Items: []Item{}, Notes: []string{}}, now: o.Now()}
	lock, err := journal.Lock(o.Config.StateDir)
	switch {
	case err == nil:
		defer func() { _ = lock.Close() }()
	case errors.Is(err, journal.ErrLocked):
		c.live = true
		c.report.note("a runner uses %s: sockets, containers and images were left out; stop it to have them cleaned as well", o.Config.StateDir)
	default:
		return c.report, fmt.Errorf("%w; name that of the runner whose leftovers are meant (state_dir)", err)
	}
	if err := c.outputs(ctx); err != nil {
		return c.report, err
	}
	held, err := journal.Look(o.Config.StateDir)
	if err != nil {
		return c.report, err
	}
	if err := c.rejected(ctx); err != nil || c.live {
		return c.report, err
	}
	return c.report, c.leftovers(ctx, held)
}

type cleaner struct {
	Options
	report *Report
	now    time.Time
	// live says that a runner uses the state directory, sharing that a container is
	// left that served runs.
	live, sharing bool
}

// do removes one thing, unless it is only to be named.
func (c *cleaner) do(i Item, remove func() error) {
	if !c.DryRun {
		if err := remove(); err != nil {
			i.Error = err.Error()
		}
	}
	c.report.Items = append(c.report.Items, i)
}

// outputs removes results. They are found before the state directory is read: see
// journal.Look.
func (c *cleaner) outputs(ctx context.Context) error {
	keep := c.Config.Retention
	if keep.OutputAge == nil && keep.OutputBytes == nil {
		c.report.note("results stay: neither retention.outputs.age nor retention.outputs.size is set")
		return nil
	}
	o, err := openOutputs(c.Config.OutputRoot, c.Config.RunnerID)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer o.close()
	if err := o.scan(ctx); err != nil {
		return fmt.Errorf("output_root: %w", err)
	}
	held, err := journal.Look(c.Config.StateDir)
	if err != nil {
		return err
	}
	recent := c.now.AddDate(1000, 0, 0)
	if c.live {
		recent = c.now.Add(-recently)
	}
	o.protect(held, recent)
	if keep.OutputBytes != nil {
		if err := o.measure(ctx, func(Attempt) bool { return true }); err != nil {
			return err
		}
	}
	return c.removeOutputs(ctx, o)
}

func (c *cleaner) removeOutputs(ctx context.Context, o *outputs) error {
	keep := c.Config.Retention
	for _, rel := range o.unfinished {
		c.do(Item{Kind: KindResults, Where: filepath.Join(o.path, rel), Since: c.now, Why: "their removal was interrupted"},
			func() error { return o.finish(ctx, rel) })
	}
	var attempts []Attempt
	byDir := map[string]int{}
	for i, a := range o.found {
		attempts, byDir[a.Dir] = append(attempts, a.Attempt), i
	}
	choices := Choose(attempts, keep.OutputAge, keep.OutputBytes, c.now)
	if keep.OutputBytes == nil {
		chosen := map[string]bool{}
		for _, a := range choices {
			chosen[a.Dir] = true
		}
		if err := o.measure(ctx, func(a Attempt) bool { return chosen[a.Dir] }); err != nil {
			return err
		}
	}
	for _, a := range choices {
		if err := ctx.Err(); err != nil {
			return err
		}
		found := o.found[byDir[a.Dir]]
		c.do(Item{Kind: KindResults, Where: filepath.Join(o.path, a.Dir), Bytes: found.Bytes, Since: a.Ended, Why: a.Why},
			func() error { return o.remove(ctx, found) })
	}
	c.noteNeeded(attempts)
	if o.foreign > 0 {
		c.report.note("%d attempts below %s stay: they run, or have no manifest of runner %s", o.foreign, o.path, c.Config.RunnerID)
	}
	return nil
}

// noteNeeded says what would have gone if it were not needed.
func (c *cleaner) noteNeeded(attempts []Attempt) {
	needed := map[string]string{}
	for i := range attempts {
		needed[attempts[i].Dir], attempts[i].Needed = attempts[i].Needed, ""
	}
	stay := map[string]int{}
	for _, a := range Choose(attempts, c.Config.Retention.OutputAge, c.Config.Retention.OutputBytes, c.now) {
		if why := needed[a.Dir]; why != "" {
			stay[why]++
		}
	}
	for _, why := range slices.Sorted(maps.Keys(stay)) {
		c.report.note("attempts that stay though the bounds take them: %d (%s)", stay[why], why)
	}
}

// rejected removes what was put aside for a person, and is old.
func (c *cleaner) rejected(ctx context.Context) error {
	age := c.Config.Retention.RejectedAge
	if age == nil {
		return nil
	}
	path := journal.RejectedDir(c.Config.StateDir)
	root, err := os.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	defer func() { _ = root.Close() }()
	entries, err := list(root, -1)
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	for _, e := range entries {
		info, err := root.Lstat(e.Name())
		if err != nil || c.now.Sub(info.ModTime()) <= *age {
			continue
		}
		c.do(Item{
			Kind: KindRejected, Where: filepath.Join(path, e.Name()), Bytes: info.Size(), Since: info.ModTime(),
			Why: "it was put aside more than " + config.ShowAge(*age) + " ago",
		}, func() error {
			if !info.IsDir() {
				return root.Remove(e.Name())
			}
			return remove(ctx, root, e.Name(), asidePrefix+"rejected", info)
		})
	}
	return ctx.Err()
}
