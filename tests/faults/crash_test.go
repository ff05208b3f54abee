//go:build engine

package faults

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/tests/internal/stand"
)

// A host that crashes is a file system that stops at once, everything that runs
// being killed, and a boot of another id over what had reached its disk.
//
// The disk is a file behind a loop device, with an ext4 that commits its journal
// only when it is asked to (or every second, where a test wants that): what nobody
// has synced is lost. FS_IOC_SHUTDOWN stops it without another write, so that the
// file is what a disk is after a loss of power; a copy of it is mounted, which has
// ext4 replay its journal.

// crashCells crash the host at points of a job's life, and at random ones.
var crashCells = []cell{
	{name: "claimed", verdict: missed, furnish: onCrashDisk, strike: crashWhen(claimedOnly)},
	{name: "running", verdict: missed, furnish: onCrashDisk, strike: crashWhen(runningJob)},
	{name: "ended", quick: true, verdict: requeued, furnish: onCrashDisk, strike: crashAfterEnd},
	{name: "reporting", verdict: kept, furnish: with(onCrashDisk, behindProxy), strike: crashWhen(reportingJob)},
	{name: "acknowledged", quick: true, verdict: kept, furnish: onCrashDisk, strike: crashWhen(acknowledgedJob)},
	{name: "random", verdict: whole, furnish: onCrashDisk, strike: crashAtRandom},
	{name: "random_committing", verdict: whole, furnish: with(onCrashDisk, committing), strike: crashAtRandom},
}

// with furnishes a site with more than one thing.
func with(all ...func(t *testing.T, s *site)) func(t *testing.T, s *site) {
	return func(t *testing.T, s *site) {
		for _, each := range all {
			each(t, s)
		}
	}
}

// crashDirs are the directories of a site that survive a crash.
var crashDirs = []string{"data", "output", "state"}

// onCrashDisk puts what survives a crash on a disk that can stop, and has every
// start of the runner believe in a boot of its own.
func onCrashDisk(t *testing.T, s *site) {
	image := filepath.Join(s.Dir, "disk.img")
	run(t, "truncate", "--size=96M", image)
	run(t, "mkfs.ext4", "-q", "-F", image)
	t.Cleanup(func() { s.detach(t) })
	s.commit = 600
	s.attach(t)
	for _, dir := range crashDirs {
		stand.Must(t, os.MkdirAll(filepath.Join(s.Dir, "disk", dir), 0o755))
	}
	stand.Must(t, os.Chmod(filepath.Join(s.Dir, "disk", "state"), 0o700))
	s.bind(t)
	s.boot(t)
	bin := filepath.Join(s.Dir, "bin")
	stand.Must(t, os.Mkdir(bin, 0o755))
	for _, name := range []string{"lynx-server", "lynx-shim"} {
		stand.Must(t, os.Symlink(filepath.Join(programs, name), filepath.Join(bin, name)))
	}
	script := fmt.Sprintf("#!/bin/sh\nexec unshare --mount sh -c 'mount --bind %[1]s/boot_id /proc/sys/kernel/random/boot_id && exec \"$@\"' sh %[2]s/lynx-runner \"$@\"\n", s.Dir, programs)
	stand.Must(t, os.WriteFile(filepath.Join(bin, "lynx-runner"), []byte(script), 0o755))
	s.Programs = bin
}

// committing has the disk commit its journal every second, as disks do every five.
func committing(t *testing.T, s *site) {
	s.commit = 1
	run(t, "mount", "-o", "remount,commit=1", filepath.Join(s.Dir, "disk"))
}

// boot begins another boot of the host.
func (s *site) boot(t *testing.T) {
	t.Helper()
	id := fmt.Sprintf("%08x-0000-4000-8000-%012x\n", rand.Uint32(), rand.Uint32())
	stand.Must(t, os.WriteFile(filepath.Join(s.Dir, "boot_id"), []byte(id), 0o644))
}

// attach mounts the disk.
func (s *site) attach(t *testing.T) {
	t.Helper()
	stand.Must(t, os.MkdirAll(filepath.Join(s.Dir, "disk"), 0o755))
	run(t, "mount", "-o", fmt.Sprintf("loop,commit=%d", s.commit), filepath.Join(s.Dir, "disk.img"), filepath.Join(s.Dir, "disk"))
}

// bind puts the disk's directories in their places.
func (s *site) bind(t *testing.T) {
	t.Helper()
	for _, dir := range crashDirs {
		stand.Must(t, os.MkdirAll(filepath.Join(s.Dir, dir), 0o755))
		stand.Must(t, unix.Mount(filepath.Join(s.Dir, "disk", dir), filepath.Join(s.Dir, dir), "", unix.MS_BIND, ""))
	}
}

// detach takes the disk away. It may still be mounted in the namespaces of others,
// which does nothing to it.
func (s *site) detach(t *testing.T) {
	t.Helper()
	for _, dir := range append([]string{"disk"}, crashDirs...) {
		if err := unix.Unmount(filepath.Join(s.Dir, dir), unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			t.Error(err)
		}
	}
}

// crash crashes the host and starts it again, with platform and runner, which has looked
// through what there is.
func (s *site) crash(t *testing.T) {
	t.Helper()
	was, err := s.Client.Runner(t.Context(), s.runner.ID)
	stand.Must(t, err)
	s.powerOff(t)
	if s.platform != nil {
		s.platform.Set("ReportResult", stand.PlatformFault{})
	}
	s.proxy.Away() // if it is not away already
	s.proxy.Back(t)
	s.detach(t)
	image := filepath.Join(s.Dir, "disk.img")
	run(t, "cp", "--sparse=always", image, image+".crashed")
	stand.Must(t, os.Rename(image+".crashed", image))
	s.attach(t)
	s.bind(t)
	s.boot(t)
	s.StartServer(t)
	s.age(t)
	s.runner.Start(t)
	s.Eventually(t, "the runner's first heartbeat", func() error {
		is, err := s.Client.Runner(t.Context(), s.runner.ID)
		if err == nil && (!is.RegisteredAt.After(was.RegisteredAt) || !is.LastHeartbeatAt.After(is.RegisteredAt)) {
			err = errors.New("it has not been heard of")
		}
		return err
	})
}

// age has the runner not been heard of for half a minute, in which hosts boot. One that
// is back sooner waits for that long: it can't be told from the clone of a host that
// lives.
func (s *site) age(t *testing.T) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.Dir, "data", "lynx.db")+"?_pragma=busy_timeout(10000)")
	stand.Must(t, err)
	_, err = db.ExecContext(t.Context(), `UPDATE runners SET seen_at = seen_at - 30000000`)
	stand.Must(t, errors.Join(err, db.Close()))
}

// powerOff stops the disk without another write to it, and then everything else.
func (s *site) powerOff(t *testing.T) {
	t.Helper()
	disk, err := os.Open(filepath.Join(s.Dir, "disk"))
	stand.Must(t, err)
	const (
		shutdown   = 0x8004587d // FS_IOC_SHUTDOWN
		noLogFlush = 2          // FS_SHUTDOWN_FLAGS_NOLOGFLUSH
	)
	stand.Must(t, unix.IoctlSetPointerInt(int(disk.Fd()), shutdown, noLogFlush))
	stand.Must(t, disk.Close())
	for _, p := range []*stand.Program{s.runner.Program, s.Server} {
		if p.Up() {
			p.Kill(t)
		}
	}
	if ids := s.containers(t); len(ids) > 0 {
		// One that was made and never started cannot be killed, and need not be.
		_ = exec.Command("docker", append([]string{"--host", "unix://" + s.engine, "kill"}, ids...)...).Run()
	}
	s.untilJobsEnd(t)
	stand.Must(t, os.RemoveAll(filepath.Join(s.Dir, "run"))) // as a host has it in memory
}

// untilJobsEnd waits until no process of a job is left.
func (s *site) untilJobsEnd(t *testing.T) {
	t.Helper()
	s.Eventually(t, "the end of the jobs", func() error {
		if left := s.users.Processes(t); len(left) > 0 {
			return fmt.Errorf("%q run", left)
		}
		return nil
	})
}

// containers are the ids of the runner's, whatever they do.
func (s *site) containers(t *testing.T) []string {
	t.Helper()
	return strings.Fields(stand.Docker(t, s.engine, "ps", "--all", "--quiet", "--filter", "label=io.tetryx.lynx.runner="+s.runner.ID))
}

// crashWhen crashes the host when a job is at a point of its life.
func crashWhen(at func(t *testing.T, s *site) (batch string)) func(t *testing.T, s *site, v verdict) {
	return func(t *testing.T, s *site, v verdict) {
		batch := at(t, s)
		before := s.completed(t, batch)
		epoch := s.epoch(t)
		s.crash(t)
		s.finish(t, batch)
		s.judge(t, v, batch, 1)
		s.afterCrash(t, batch, before, epoch)
	}
}

// crashAfterEnd: that a job ended well is no result if its files are lost.
func crashAfterEnd(t *testing.T, s *site, v verdict) {
	crashWhen(endedJob)(t, s, v)
	var why string
	s.query(t, `SELECT error_message FROM attempts WHERE number = 1`, &why)
	if !strings.Contains(why, "the host was restarted") {
		t.Errorf("the first attempt: %s", why)
	}
}

// crashAtRandom crashes the host three times while jobs run, end and are reported.
func crashAtRandom(t *testing.T, s *site, v verdict) {
	const runs, crashes = 6, 3
	seed := rand.Uint64()
	if text := os.Getenv("LYNX_FAULTS_SEED"); text != "" {
		_, err := fmt.Sscan(text, &seed)
		stand.Must(t, err)
	}
	t.Logf("LYNX_FAULTS_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	batch := s.submit(t, runs, 0)
	released := map[string]bool{}
	before := map[int]api.RunRow{}
	for range crashes {
		for end := time.Now().Add(time.Duration(random.IntN(5000)) * time.Millisecond); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			for _, dir := range s.ready(batch) {
				if !released[dir] {
					released[dir] = true
					_ = os.WriteFile(filepath.Join(dir, "output", "go"), nil, 0o644)
				}
			}
			for index, row := range s.completed(t, batch) {
				before[index] = row
			}
		}
		epoch := s.epoch(t)
		s.crash(t)
		s.afterCrash(t, batch, before, epoch)
		t.Logf("%d of %d jobs were completed at the crash", len(before), runs)
	}
	s.finish(t, batch)
	s.judge(t, v, batch, runs)
	s.afterCrash(t, batch, before, 0)
}

// claimedOnly is a job that the runner has claimed, and the engine has not made yet.
func claimedOnly(t *testing.T, s *site) string {
	s.proxy.Set(stand.AtCreate, stand.Hang, 1)
	batch := s.submit(t, 1, 0)
	s.proxy.UntilHit(t)
	return batch
}

// runningJob is one in its middle.
func runningJob(t *testing.T, s *site) string {
	batch := s.submit(t, 1, 0)
	s.waitReady(t, batch, 1)
	return batch
}

// endedJob is one that has ended well, which the runner cannot conclude for want of
// the engine's word. What the journal has of it is synced and what the job wrote is
// not, so that nothing but the other boot tells that its exit status is not all.
func endedJob(t *testing.T, s *site) string {
	batch := runningJob(t, s)
	entries, err := filepath.Glob(filepath.Join(s.Dir, "state", "attempts", "*"))
	stand.Must(t, err)
	for _, path := range append(entries, filepath.Join(s.Dir, "state", "attempts")) {
		f, err := os.Open(path)
		stand.Must(t, err)
		stand.Must(t, errors.Join(f.Sync(), f.Close()))
	}
	s.proxy.Away()
	release(t, s.ready(batch)...)
	s.untilJobsEnd(t)
	return batch
}

// reportingJob is one whose result the platform does not take.
func reportingJob(t *testing.T, s *site) string {
	s.platform.Set("ReportResult", stand.PlatformFault{Status: 500, Times: 1 << 20})
	batch := runningJob(t, s)
	release(t, s.ready(batch)...)
	s.Eventually(t, "a try to deliver the result", func() error {
		if s.platform.Left("ReportResult") == 1<<20 {
			return errors.New("there was none")
		}
		return nil
	})
	return batch
}

// acknowledgedJob is one that the platform calls completed.
func acknowledgedJob(t *testing.T, s *site) string {
	batch := s.submit(t, 1, 0)
	s.finish(t, batch)
	return batch
}

// completed are the runs of a batch that the platform calls completed, by index.
func (s *site) completed(t *testing.T, batch string) map[int]api.RunRow {
	t.Helper()
	rows := map[int]api.RunRow{}
	for _, r := range s.Results(t, batch) {
		if r.Status == api.JobCompleted {
			rows[r.RunIndex] = r
		}
	}
	return rows
}

// epoch is that of the platform's tokens.
func (s *site) epoch(t *testing.T) (epoch int) {
	t.Helper()
	s.query(t, `SELECT epoch FROM store`, &epoch)
	return epoch
}

// query asks the platform's database for one value.
func (s *site) query(t *testing.T, query string, value any) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.Dir, "data", "lynx.db")+"?mode=ro")
	stand.Must(t, err)
	stand.Must(t, errors.Join(db.QueryRowContext(t.Context(), query).Scan(value), db.Close()))
}

// afterCrash holds a platform, a runner and the files to each other after a crash at
// which some runs were completed, and the platform's epoch was another.
func (s *site) afterCrash(t *testing.T, batch string, before map[int]api.RunRow, epoch int) {
	t.Helper()
	after := s.completed(t, batch)
	for index, was := range before {
		is := after[index]
		if is.Attempt != was.Attempt || !slices.EqualFunc(is.Artifacts, was.Artifacts, sameFile) || is.Directory != was.Directory {
			t.Errorf("run %d was completed by attempt %d with %v, and is now %s, attempt %d, with %v", index, was.Attempt, was.Artifacts, is.Status, is.Attempt, is.Artifacts)
		}
	}
	for _, r := range after {
		onDisk(t, r)
	}
	if now := s.epoch(t); now <= epoch {
		t.Errorf("the epoch is %d after it was %d: tokens are valid twice", now, epoch)
	}
	for what, query := range map[string]string{
		"attempts with the token of another":         `SELECT count(*) FROM attempts a JOIN attempts b USING (job_id, token_epoch, token_counter) WHERE a.number <> b.number`,
		"attempts that are half written":             `SELECT count(*) FROM attempts a LEFT JOIN results r USING (job_id, number) WHERE a.has_result <> (r.job_id IS NOT NULL)`,
		"jobs that two attempts were accepted of":    `SELECT count(*) FROM (SELECT 1 FROM attempts WHERE outcome = 'completed' GROUP BY job_id HAVING count(*) > 1)`,
		"jobs that are completed without an attempt": `SELECT count(*) FROM jobs j WHERE j.state = 'Completed' AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.job_id = j.id AND a.number = j.reported AND a.outcome = 'completed')`,
	} {
		var n int
		if s.query(t, query, &n); n > 0 {
			t.Errorf("%d %s", n, what)
		}
	}
}

// sameFile compares what was reported of two files, wherever they are served.
func sameFile(a, b api.Artifact) bool {
	return a.Name == b.Name && a.Size == b.Size && a.SHA256 == b.SHA256
}

// onDisk looks for the files that a result names.
func onDisk(t *testing.T, r api.RunRow) {
	t.Helper()
	if len(r.Artifacts) == 0 {
		t.Errorf("run %d names no artifacts", r.RunIndex)
	}
	for _, a := range r.Artifacts {
		content, err := os.ReadFile(filepath.Join(r.Directory, "output", a.Name))
		sum := sha256.Sum256(content)
		if err != nil || int64(len(content)) != a.Size || hex.EncodeToString(sum[:]) != a.SHA256 {
			t.Errorf("run %d was reported with %s of %d bytes, and %d are on disk, or others: %v", r.RunIndex, a.Name, a.Size, len(content), err)
		}
	}
}

// run runs a command of the host's.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}
