package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/tetryx/lynx-runner/executor"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// Attempt is what a later process of this runner needs to take an attempt up.
type Attempt struct {
	Assignment *runnerv1.Assignment `json:"-"`
	Claimed    time.Time            `json:"claimed"`
	// UID and GID are the job's user.
	UID int `json:"uid"`
	GID int `json:"gid"`
	// Directory is the attempt's, relative to the output root, and Device and Inode
	// say which directory that is, whatever has that name later.
	Directory string `json:"directory"`
	Device    uint64 `json:"device"`
	Inode     uint64 `json:"inode"`
	// Spec is what the job was about to be started with, less what nobody needs
	// afterwards: the environment, which may hold secrets, and the system call
	// filter. nil as long as it was not about to be started.
	Spec *executor.Spec `json:"spec,omitempty"`

	// What is in a manifest and in messages.
	Engine     string   `json:"engine,omitempty"`
	Entrypoint string   `json:"entrypoint,omitempty"`
	Program    string   `json:"program,omitempty"`
	Image      string   `json:"image,omitempty"`
	ImageID    string   `json:"image_id,omitempty"`
	CodeDigest string   `json:"code_digest,omitempty"`
	Warnings   []string `json:"warnings,omitempty"`

	// Vacated says, of one that Attempts returns, that Journal.Vacated was called for
	// it.
	Vacated bool `json:"-"`
	// HostRestarted says, of one that Attempts returns, that the host was started
	// again since it was begun: what was not synced of it may be missing.
	HostRestarted bool `json:"-"`
	// Age is, of one that Attempts returns, how long ago it was last written, by a
	// clock that nobody sets; negative where that is not known.
	Age time.Duration `json:"-"`
}

// attemptFile is an Attempt as a file has it.
type attemptFile struct {
	Attempt
	Assignment json.RawMessage `json:"assignment"`
	// Boot is the boot of the host in which it was written; empty where that is not
	// known.
	Boot string `json:"boot,omitempty"`
	// Uptime is how long the host had been up then.
	Uptime time.Duration `json:"uptime,omitempty"`
}

// Begun writes an attempt that is in hand, in place of what was written of it
// before. It is not synced: it is for the death of this process, and with the host
// the attempt dies as well. What is left of it then is nobody's loss.
func (j *Journal) Begun(a Attempt) error {
	id := a.Assignment.GetAttemptId()
	if !ValidName(id) {
		return fmt.Errorf("attempts: attempt id %q cannot name a file", id)
	}
	file := attemptFile{Attempt: a, Boot: j.boot, Uptime: uptime()}
	if a.Spec != nil {
		spec := *a.Spec
		spec.Env, spec.Sandbox.Seccomp = nil, nil
		file.Spec = &spec
	}
	var err error
	if file.Assignment, err = (protojson.MarshalOptions{UseProtoNames: true}).Marshal(a.Assignment); err != nil {
		return fmt.Errorf("attempts: %w", err)
	}
	data, err := json.Marshal(file)
	if err != nil {
		return fmt.Errorf("attempts: %w", err)
	}
	if err := replaceFile(filepath.Join(j.dir, attemptsDir), id, data); err != nil {
		return fmt.Errorf("attempts: %w", err)
	}
	return nil
}

// Ended forgets that an attempt was in hand: its result is in the outbox, or is of
// no use to anybody. It is no error if nothing is known of it.
func (j *Journal) Ended(attemptID string) error { return j.remove(attemptID, attemptsDir, vacatedDir) }

// Attempts returns what an earlier process had in hand, by attempt id: those that
// have no result yet, and those that have one. What can't be read is removed and
// named: it is what a crash of the host left of a file that was not synced, and of
// no use to anybody.
func (j *Journal) Attempts() (open, settled []Attempt, torn []string, err error) {
	dir := filepath.Join(j.dir, attemptsDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("attempts: %w", err)
	}
	for _, e := range entries {
		a, ok := j.readAttempt(filepath.Join(dir, e.Name()))
		a.Vacated = j.has(vacatedDir, e.Name())
		switch {
		case !ok || a.Assignment.GetAttemptId() != e.Name():
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return nil, nil, nil, fmt.Errorf("attempts: %w", err)
			}
			torn = append(torn, e.Name())
		case j.has(outboxDir, e.Name()) || j.has(uploadsDir, e.Name()):
			settled = append(settled, a)
		default:
			open = append(open, a)
		}
	}
	return open, settled, torn, nil
}

func (j *Journal) has(sub, name string) bool {
	_, err := os.Lstat(filepath.Join(j.dir, sub, name))
	return err == nil
}

func (j *Journal) readAttempt(path string) (Attempt, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Attempt{}, false
	}
	var file attemptFile
	if json.Unmarshal(data, &file) != nil {
		return Attempt{}, false
	}
	a := file.Attempt
	a.HostRestarted = file.Boot != "" && file.Boot != j.boot
	a.Age = -1
	if now := uptime(); !a.HostRestarted && file.Uptime > 0 && now > 0 {
		a.Age = now - file.Uptime
	}
	a.Assignment = &runnerv1.Assignment{}
	err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(file.Assignment, a.Assignment)
	return a, err == nil
}

// thisBoot tells one boot of the host from another; empty where it cannot be known.
func thisBoot() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text))
}

// uptime is how long the host has been up, suspended or not; 0 where it cannot be
// known.
func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// replaceFile makes dir/name with data, whole or not at all as long as the host
// lives.
func replaceFile(dir, name string, data []byte) error {
	f, err := os.CreateTemp(dir, tmpPrefix+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), filepath.Join(dir, name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Alive notes that this process lives now.
func (j *Journal) Alive(now time.Time) error {
	path := filepath.Join(j.dir, aliveFile)
	err := os.Chtimes(path, now, now)
	if errors.Is(err, fs.ErrNotExist) {
		err = replaceFile(j.dir, aliveFile, nil)
	}
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	return nil
}

// LastAlive is when a process last said Alive; the zero time if none ever did.
func (j *Journal) LastAlive() time.Time {
	info, err := os.Stat(filepath.Join(j.dir, aliveFile))
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
