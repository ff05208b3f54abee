// Package journal is what a runner keeps on disk so that its end loses nothing:
// its installation id, the attempts that it has in hand, the reason for which it is
// about to kill an attempt, the results that the platform has not acknowledged yet (the
// outbox), and the acknowledged ones whose files the platform does not have yet (the
// uploads).
//
// # Layout of the state directory
//
//	lock               flock of the one process that may use the directory
//	installation_id    a random id, made once
//	alive              when a process of the runner last lived, as the file's time
//	attempts/ATTEMPT   what another process needs to take a running attempt up,
//	                   until the attempt's result is in the outbox
//	vacated/ATTEMPT    nothing: of an attempt in hand, that its user, GPUs, CPU and memory
//	                   may be another's
//	causes/ATTEMPT     why the runner kills an attempt, written before the kill
//	outbox/ATTEMPT     a result, until it is acknowledged
//	uploads/ATTEMPT    an acknowledged result, until the attempt's files are sent
//	rejected/…         results that could not be read, and what the platform calls invalid;
//	                   kept for a person, never sent
//
// A file appears whole or not at all: it is written under another name, synced,
// renamed, and its directory is synced. When Put has returned, the result
// survives a crash of the host. Only attempts/ and vacated/ are not synced, which have
// to survive the process alone: an attempt that was in hand when its host crashed is
// run again, whatever its files look like ([Attempt.HostRestarted]). A cause is synced
// later than it is written (SyncCause).
package journal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// Journal is an opened state directory. Its methods may be called concurrently,
// for one attempt one at a time.
type Journal struct {
	dir          string
	lock         *os.File
	installation string
	boot         string
	place        string
}

const (
	outboxDir   = "outbox"
	causesDir   = "causes"
	uploadsDir  = "uploads"
	rejectedDir = "rejected"
	attemptsDir = "attempts"
	vacatedDir  = "vacated"
	aliveFile   = "alive"
	tmpPrefix   = ".tmp-"
)

// Open takes the state directory, which it makes if need be. It fails with an
// error that wraps ErrLocked while another process has it.
func Open(dir string) (*Journal, error) {
	for _, sub := range []string{"", outboxDir, causesDir, uploadsDir, rejectedDir, attemptsDir, vacatedDir} {
		if err := MakePrivate(filepath.Join(dir, sub)); err != nil {
			return nil, fmt.Errorf("state directory: %w", err)
		}
	}
	lock, err := takeLock(filepath.Join(dir, "lock"), os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("state directory %s: %w", dir, err)
	}
	j := &Journal{dir: dir, lock: lock, boot: thisBoot()}
	info, err := lock.Stat()
	if err == nil {
		j.place = placeOf(j.boot, info)
		err = j.prepare()
	}
	if err != nil {
		lock.Close()
		return nil, err
	}
	return j, nil
}

func (j *Journal) prepare() error {
	if err := errors.Join(j.sweep(), j.forgetVacated()); err != nil {
		return err
	}
	path := filepath.Join(j.dir, "installation_id")
	text, err := os.ReadFile(path)
	switch id := strings.TrimSpace(string(text)); {
	case err == nil && installationID.MatchString(id):
		j.installation = id
		return nil
	case err == nil:
		return fmt.Errorf("installation id: %s does not hold 32 hexadecimal digits; remove it to have a new one made", path)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("installation id: %w", err)
	}
	j.installation = newID()
	if err := writeFile(j.dir, "installation_id", []byte(j.installation+"\n")); err != nil {
		return fmt.Errorf("installation id: %w", err)
	}
	return nil
}

// sweep removes what a crash left half written.
func (j *Journal) sweep() error {
	for _, sub := range []string{"", outboxDir, causesDir, rejectedDir, attemptsDir} {
		entries, err := os.ReadDir(filepath.Join(j.dir, sub))
		if err != nil {
			return fmt.Errorf("state directory: %w", err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), tmpPrefix) {
				continue
			}
			if err := os.Remove(filepath.Join(j.dir, sub, e.Name())); err != nil {
				return fmt.Errorf("state directory: %w", err)
			}
		}
	}
	return nil
}

// InstallationID identifies this state directory for all time, and any copy of it.
func (j *Journal) InstallationID() string { return j.installation }

// HolderID identifies whoever holds the lock on this state directory: it is the
// InstallationID and, behind a dot, what tells the directory from its copies. Of two
// processes with the same HolderID one has ended, since they have the same lock of the
// same kernel. A copy has another, be it of the directory or of the whole machine, and
// so has the directory itself once its host was started again.
func (j *Journal) HolderID() string { return j.installation + "." + j.place }

// placeOf is where a lock file is: in which boot of which kernel, and which file.
func placeOf(boot string, lock fs.FileInfo) string {
	var device, inode uint64
	if st, ok := lock.Sys().(*syscall.Stat_t); ok {
		device, inode = uint64(st.Dev), st.Ino //nolint:unconvert // narrower on other systems
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", boot, device, inode))
	return hex.EncodeToString(sum[:8])
}

// Close gives the state directory free.
func (j *Journal) Close() error { return j.lock.Close() }

func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// installationID is what newID makes. Directories are named by a part of it.
var installationID = regexp.MustCompile(`^[0-9a-f]{32}$`)

var attemptName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$`)

// ValidName reports whether an attempt's id can name its file here: letters,
// digits, "_", "." and "-", no dot first, at most 200 characters.
func ValidName(attemptID string) bool { return attemptName.MatchString(attemptID) }

// MakePrivate makes a directory, with its parents, for this process's user
// alone. One that is there already must belong to that user and be closed for
// others to write: whoever can put a link in the place of a file decides what
// this process overwrites.
func MakePrivate(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch me := os.Geteuid(); {
	case ok && int(st.Uid) != me:
		return fmt.Errorf("%s belongs to user %d, and this program runs as user %d; name a directory of its own", dir, st.Uid, me)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s can be written to by other users (mode %v); name another directory, or close it: chmod go-w %s", dir, info.Mode().Perm(), dir)
	}
	return nil
}

// writeFile makes dir/name with data, whole and synced.
func writeFile(dir, name string, data []byte) error {
	f, err := os.CreateTemp(dir, tmpPrefix+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncPath(dir)
}

// syncPath syncs a file or a directory.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
