package shim_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/internal/shim"
)

// numbered is what the job's write command writes.
func numbered(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%07d\n", i)
	}
	return b.String()[:n]
}

// kept is what a log of that text must be.
func kept(text string, head, tail int) (log string, dropped int) {
	if len(text) <= head+tail {
		return text, 0
	}
	dropped = len(text) - head - tail
	return fmt.Sprintf("%s\n[lynx: %d bytes cut here]\n%s", text[:head], dropped, text[len(text)-tail:]), dropped
}

func TestLogsKeepHeadAndTail(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		for _, c := range []struct{ head, tail, out, err int }{
			{100, 50, 0, 1},
			{100, 50, 100, 101},
			{100, 50, 150, 151},
			{100, 50, 200, 201},
			{100, 50, 100_000, 99_999},
			{0, 50, 75, 3},
			{100, 0, 75, 300},
			{0, 0, 0, 10},
			{70_000, 70_000, 1_000_000, 140_001},
		} {
			t.Run(fmt.Sprint(c), func(t *testing.T) {
				r := newRun(t, p, jobPath, "write", fmt.Sprint(c.out), fmt.Sprint(c.err))
				r.config.LogHead, r.config.LogTail = int64(c.head), int64(c.tail)
				report := r.complete()
				gotOut, gotErr := r.logs()
				wantOut, droppedOut := kept(numbered(c.out), c.head, c.tail)
				wantErr, droppedErr := kept(numbered(c.err), c.head, c.tail)
				if gotOut != wantOut || gotErr != wantErr {
					t.Errorf("stdout %.300q\nwant %.300q\nstderr %.300q\nwant %.300q", gotOut, wantOut, gotErr, wantErr)
				}
				if o := report.Stdout; o.Written != int64(c.out) || o.Dropped != int64(droppedOut) {
					t.Errorf("stdout counted %+v", o)
				}
				if e := report.Stderr; e.Written != int64(c.err) || e.Dropped != int64(droppedErr) {
					t.Errorf("stderr counted %+v", e)
				}
				onlyLogsLeft(t, r)
			})
		}
	})
}

func onlyLogsLeft(t *testing.T, r *shimRun) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(r.config.Stdout))
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("the log directory has %v", entries)
	}
}

// The head is there while the job runs, without anybody's help.
func TestHeadIsWrittenAtOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		c, d := driveJob(r)
		d.want("print one", "printed")
		waitFor(t, "the line in the log", func() bool {
			out, _ := r.logs()
			return out == "one\n"
		})
		d.tell("exit 0")
		r.finish(c)
	})
}

func TestJobThatClosesItsOutputGoesOn(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p)
		c, d := driveJob(r)
		d.want("print last", "printed")
		d.want("close-stdio", "closed")
		d.tell("exit 5")
		if report := r.finish(c); report.Code != 5 {
			t.Errorf("report %+v", report)
		}
		if out, _ := r.logs(); out != "last\n" {
			t.Errorf("stdout %q", out)
		}
	})
}

// A job that swaps its log for another file changes neither that file nor what
// the shim does.
func TestReplacedLogIsNotFollowed(t *testing.T) {
	everywhere(t, func(t *testing.T, p place) {
		r := newRun(t, p, "sh", "-c", "rm $L/*; ln -s $V $L/stdout.log; ln -s $V $L/stdout.log.tail-a; head -c 100000 /dev/zero; exit 6")
		victim := filepath.Join(r.dir, "victim")
		must(t, os.WriteFile(victim, []byte("untouched"), 0o666))
		must(t, os.Chmod(victim, 0o666))
		r.config.Env = append(r.config.Env, "L="+filepath.Dir(r.config.Stdout), "V="+victim)
		r.config.LogHead, r.config.LogTail = 100, 100
		if report := r.complete(); report.Code != 6 || report.Stdout.Written != 100_000 {
			t.Errorf("report %+v", report)
		}
		if content, err := os.ReadFile(victim); err != nil || string(content) != "untouched" {
			t.Errorf("the file now has %q (%v)", content, err)
		}
	})
}

// The limit on the size of a file, which the job's log has as well, loses log lines,
// never the job; it is no full disk, which would excuse what the job does.
func TestLogThatCannotBeWrittenIsCounted(t *testing.T) {
	r := newRun(t, places(t)[0], "sh", "-c", "ulimit -c 0; head -c 50000 /dev/zero; exit 4")
	r.config.LogHead, r.config.LogTail = 30_000, 0
	r.launch = []string{"-fsize", "10000"}
	report := r.complete()
	if want := (shim.LogReport{Written: 50_000, Dropped: 40_000}); report.Code != 4 || report.Stdout != want {
		t.Errorf("report %+v", report)
	}
}
