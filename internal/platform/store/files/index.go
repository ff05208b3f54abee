package files

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
)

// Names in an attempt's directory that no file of it can have.
const (
	partialDir   = ".partial"
	completeName = ".complete"
)

// line is what .complete says of one file.
type line struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

func (l line) file() File { return File{Path: l.Path, Size: l.Size, SHA256: l.SHA256, Complete: true} }

// lines reads .complete, by path. A line that a crash has torn, or that no file of
// an attempt can have, is as none.
func (s *Store) lines(ctx context.Context, dir string) (map[string]line, error) {
	lines := map[string]line{}
	f, err := s.root.Open(path.Join(dir, completeName))
	if errors.Is(err, fs.ErrNotExist) {
		return lines, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the files of %s: %w", dir, err)
	}
	defer f.Close()
	r := bufio.NewReader(f)
	for {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return lines, ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("list the files of %s: %w", dir, err)
		}
		var l line
		if json.Unmarshal(text, &l) == nil && CheckPath(l.Path) == nil {
			lines[l.Path] = l
		}
	}
}

// complete has the complete files of an attempt by path: those with a line that
// are there. A crash of the machine may keep a line and lose the renaming.
func (s *Store) complete(ctx context.Context, dir string) (map[string]File, error) {
	lines, err := s.lines(ctx, dir)
	files := map[string]File{}
	for p, l := range lines {
		if info, err := s.root.Lstat(path.Join(dir, p)); err == nil && info.Mode().IsRegular() && info.Size() == l.Size {
			files[p] = l.file()
		}
	}
	return files, err
}

// index appends to .complete.
type index struct{ f *os.File }

// openIndex opens .complete and ends a torn line.
func (s *Store) openIndex(dir string) (index, error) {
	f, err := s.root.OpenFile(path.Join(dir, completeName), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return index{}, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		if _, err = f.ReadAt(last, info.Size()-1); err == nil && last[0] != '\n' {
			_, err = f.Write([]byte{'\n'})
		}
	}
	if err != nil {
		return index{}, errors.Join(err, f.Close())
	}
	return index{f}, nil
}

// add appends one line, in one write.
func (x index) add(l line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = x.f.Write(append(bytes.TrimSpace(text), '\n'))
	return err
}

// end syncs and closes.
func (x index) end() error { return errors.Join(x.f.Sync(), x.f.Close()) }
