package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// ErrNoState says that a directory is no runner's state directory.
var ErrNoState = errors.New("no runner has used this state directory")

// Held is what a state directory says is still needed.
type Held struct {
	// InstallationID is the state directory's.
	InstallationID string
	// InHand are the ids of attempts that a process of the runner has, or had when
	// it was killed.
	InHand map[string]bool
	// Needed says of each attempt whose files must stay why that is, by id.
	Needed map[string]string
	// Directories are where attempts say that their files are: absolute, or
	// relative to the output root.
	Directories []string
	// Inodes are the directories of those in hand, whatever they are called now.
	Inodes map[Inode]bool
	// RuntimeDirs and ImageIDs are what those in hand use.
	RuntimeDirs, ImageIDs []string
}

// Inode names a file for as long as it is there.
type Inode struct{ Device, Inode uint64 }

// Look reads what a state directory says is needed, and changes nothing, also
// while another process uses it. An attempt only ever moves on, from those in hand
// to the outbox to the uploads, and they are read in that order: what was begun
// before Look is not missed. An error that wraps ErrNoState says that nothing is
// known of a runner there.
func Look(dir string) (Held, error) {
	id, err := readInstallation(dir)
	if err != nil {
		return Held{}, err
	}
	h := Held{InstallationID: id, InHand: map[string]bool{}, Needed: map[string]string{}, Inodes: map[Inode]bool{}}
	for _, part := range []struct {
		sub, why string
		add      func(path, id string)
	}{
		{attemptsDir, "it is in the runner's hand", h.addInHand},
		{outboxDir, "its result is not delivered", h.addReport},
		{uploadsDir, "its files are not sent", h.addReport},
		{rejectedDir, "its result was put aside for a person", h.addReport},
	} {
		entries, err := os.ReadDir(filepath.Join(dir, part.sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Held{}, fmt.Errorf("state directory: %w", err)
		}
		for _, e := range entries {
			part.add(filepath.Join(dir, part.sub, e.Name()), e.Name())
			if h.Needed[e.Name()] == "" {
				h.Needed[e.Name()] = part.why
			}
		}
	}
	return h, nil
}

func readInstallation(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "installation_id"))
	id := strings.TrimSpace(string(text))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%s: %w", dir, ErrNoState)
	case err != nil:
		return "", fmt.Errorf("state directory: %w", err)
	case !installationID.MatchString(id):
		return "", fmt.Errorf("%s: %w: its installation_id is not one", dir, ErrNoState)
	}
	return id, nil
}

// addInHand adds what a file of attempts/ says. What can't be read says its
// attempt's id all the same.
func (h *Held) addInHand(path, id string) {
	h.InHand[id] = true
	var a struct {
		Directory string `json:"directory"`
		Device    uint64 `json:"device"`
		Inode     uint64 `json:"inode"`
		ImageID   string `json:"image_id"`
		Spec      struct{ RuntimeDir, Image string }
	}
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &a) != nil {
		return
	}
	if a.Directory != "" {
		h.Directories = append(h.Directories, a.Directory)
	}
	if a.Inode != 0 {
		h.Inodes[Inode{a.Device, a.Inode}] = true
	}
	for _, image := range []string{a.ImageID, a.Spec.Image} {
		if image != "" {
			h.ImageIDs = append(h.ImageIDs, image)
		}
	}
	if a.Spec.RuntimeDir != "" {
		h.RuntimeDirs = append(h.RuntimeDirs, a.Spec.RuntimeDir)
	}
}

func (h *Held) addReport(path, _ string) {
	if report, ok := readReport(path); ok && report.GetResult().GetDirectory() != "" {
		h.Directories = append(h.Directories, report.GetResult().GetDirectory())
	}
}

// RejectedDir is where a state directory keeps what a person is to look at.
func RejectedDir(dir string) string { return filepath.Join(dir, rejectedDir) }
