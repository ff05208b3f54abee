package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// pull is what is known of an image that was not on the engine before this
// executor, or an earlier one with the same PullsDir, pulled it: a file named by
// its id, whose time is that of its last use.
type pull struct {
	// References are the names that it was pulled by.
	References []string `json:"references"`

	used time.Time
}

// pullFile is the file of an image; empty where nothing is noted.
func (e *Executor) pullFile(id string) string {
	digest, ok := strings.CutPrefix(id, "sha256:")
	if e.cfg.PullsDir == "" || !ok || strings.ContainsAny(digest, "/.") {
		return ""
	}
	return filepath.Join(e.cfg.PullsDir, digest)
}

// pullAndNote pulls, and notes what was not there under this name before.
func (e *Executor) pullAndNote(ctx context.Context, ref string) error {
	before, _ := e.engine.image(ctx, ref) // what can't be said is another
	if err := e.engine.pull(ctx, ref); err != nil {
		return err
	}
	if after, err := e.engine.image(ctx, ref); err == nil && after.ID != before.ID {
		e.notePull(after.ID, ref)
	}
	return nil
}

// notePull notes that an image was pulled by a name. It is nobody's trouble if that
// fails: the image then stays for good.
func (e *Executor) notePull(id, ref string) {
	file := e.pullFile(id)
	if file == "" {
		return
	}
	p, _ := readPull(file)
	if !slices.Contains(p.References, ref) {
		p.References = append(p.References, ref)
	}
	data, err := json.Marshal(p)
	if err == nil {
		err = os.MkdirAll(e.cfg.PullsDir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(file+".new", append(data, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		e.log.Warn("it could not be noted that an image was pulled, so it is never cleaned", "image", ref, "error", err)
	}
}

// noteUse notes that an image is used now, if it was pulled.
func (e *Executor) noteUse(id string) {
	if file := e.pullFile(id); file != "" {
		now := time.Now()
		_ = os.Chtimes(file, now, now) // it is there only for what was pulled
	}
}

func (e *Executor) forgetPull(id string) error {
	file := e.pullFile(id)
	if file == "" {
		return nil
	}
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// pulled returns what was pulled, by image id. What can't be read was not.
func (e *Executor) pulled() (map[string]pull, error) {
	found := map[string]pull{}
	if e.cfg.PullsDir == "" {
		return found, nil
	}
	entries, err := os.ReadDir(e.cfg.PullsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("what was pulled: %w", err)
	}
	for _, entry := range entries {
		if p, err := readPull(filepath.Join(e.cfg.PullsDir, entry.Name())); err == nil {
			found["sha256:"+entry.Name()] = p
		}
	}
	return found, nil
}

func readPull(file string) (pull, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return pull{}, err
	}
	var p pull
	if err := json.Unmarshal(data, &p); err != nil {
		return pull{}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return pull{}, err
	}
	p.used = info.ModTime()
	return p, nil
}
