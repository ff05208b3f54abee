package process

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/executor/internal/cgroup"
)

// FuzzMounts: a cgroup is looked for below its mount, whatever a host's mounts and
// a process's cgroups are called.
func FuzzMounts(f *testing.F) {
	f.Add("30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n31 25 0:27 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw", "5:memory:/docker/x\n0::/a:b\n")
	f.Add(`30 25 0:26 /x /sys/fs/c\040g rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct`, "3:cpu,cpuacct:/y\n")
	f.Add("30 25 0:26 / / rw - cgroup2 c rw\ngarbage - cgroup", "0::/../../etc\n")
	f.Fuzz(func(t *testing.T, info, groups string) {
		own := cgroup.Parse(groups)
		for _, m := range parseMounts([]byte(info)) {
			if m.v2 != (len(m.controllers) == 0) {
				t.Fatalf("%+v", m)
			}
			for controller, path := range own {
				dir := m.dir(path)
				rel, err := filepath.Rel(m.point, dir)
				if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
					t.Errorf("the cgroup %q of %q is looked for in %q of %+v", path, controller, dir, m)
				}
			}
		}
	})
}

// FuzzLoad: a state file is that of its attempt and says where everything is, or is
// called damaged; what is read is written the same.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"attempt_id":"job-1","runtime_dir":"/r","scratch":"/s","log_dir":"/l","log_head":1,"uid":7,"memory_limit":5,"started":"2026-03-01T12:00:00Z","pid":9,"start_time":8,"boot":"b"}`))
	f.Add([]byte(`{"attempt_id":"job-1","runtime_dir":"/r","scratch":"/s","cgroup":{"V2":true,"Dirs":{"":"/sys/fs/cgroup/x"}},"pid":-1}`))
	f.Add([]byte(`{"attempt_id":"job-2","runtime_dir":"/r","scratch":"s"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e := &Executor{cfg: Config{Dir: t.TempDir()}}
		if err := errors.Join(os.Mkdir(e.dir("job-1"), 0o700), os.WriteFile(filepath.Join(e.dir("job-1"), stateFile), data, 0o600)); err != nil {
			t.Fatal(err)
		}
		s, err := e.load("job-1")
		if err != nil {
			if !errors.Is(err, errDamaged) {
				t.Fatal(err)
			}
			return
		}
		if s.AttemptID != "job-1" || s.PID < 0 || !filepath.IsAbs(s.RuntimeDir) || !filepath.IsAbs(string(s.Scratch)) {
			t.Fatalf("%+v is taken", s)
		}
		before, err := json.Marshal(s)
		if err != nil {
			return // there are times that Go reads and does not write
		}
		if err := e.save(s); err != nil {
			t.Fatal(err)
		}
		again, err := e.load("job-1")
		after, _ := json.Marshal(again)
		if err != nil || string(before) != string(after) {
			t.Fatalf("%s became %s, %v", before, after, err)
		}
	})
}

// FuzzSavedReport: a report is read whole or not at all, and none that a shim can't
// have written.
func FuzzSavedReport(f *testing.F) {
	f.Add([]byte(`{"code":3,"cpu_micros":5,"max_rss_bytes":4096,"wall_micros":9,"stdout":{"written":9,"dropped":1},"stderr":{"written":0,"dropped":0}}` + "\n"))
	f.Add([]byte(`{"code":-3,"stdout":{"written":1,"dropped":2}}` + "\n"))
	f.Add([]byte(`{"code":3}`))
	f.Add([]byte("null\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e := &Executor{cfg: Config{Dir: t.TempDir()}}
		if err := errors.Join(os.Mkdir(e.dir("job-1"), 0o700), os.WriteFile(filepath.Join(e.dir("job-1"), reportFile), data, 0o600)); err != nil {
			t.Fatal(err)
		}
		r, _ := e.savedReport("job-1")
		if r == nil {
			return
		}
		if !strings.HasSuffix(string(data), "\n") {
			t.Fatalf("%q is taken for whole", data)
		}
		if r.Code < 0 || r.Code > 255 || r.Signal < 0 || r.Signal > 64 || min(r.CPUMicros, r.MaxRSSBytes, r.WallMicros) < 0 ||
			r.Stdout.Dropped < 0 || r.Stdout.Dropped > r.Stdout.Written || r.Stderr.Dropped < 0 || r.Stderr.Dropped > r.Stderr.Written {
			t.Fatalf("%q is taken: %+v", data, *r)
		}
	})
}
