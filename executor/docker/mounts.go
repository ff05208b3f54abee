package docker

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/mount"

	"github.com/tetryx/lynx-runner/executor"
)

// bind is a bind mount. Mounts are used and never Binds, which create a missing
// source as an empty directory of root's. The propagation is private both ways:
// what the host mounts below a source later does not show up in the job.
func bind(source, target string, readOnly bool) mount.Mount {
	return mount.Mount{
		Type: mount.TypeBind, Source: source, Target: target, ReadOnly: readOnly,
		BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate},
	}
}

// binds are the bind mounts of an attempt. Everything is read-only but what the
// job's results and logs go to.
func binds(spec executor.Spec, shim string) []mount.Mount {
	ms := []mount.Mount{
		bind(shim, executor.ContainerShim, true),
		bind(spec.RuntimeDir, executor.ContainerRuntime, true),
		bind(spec.OutputDir, executor.ContainerOutput, false),
	}
	if !spec.Serve { // else logs lie below the output
		ms = append(ms, bind(spec.LogDir, executor.ContainerLog, false))
	}
	if spec.RunConfig != "" {
		ms = append(ms, bind(spec.RunConfig, executor.ContainerRunConfig, true))
	}
	if spec.WorkDir != "" {
		ms = append(ms, bind(spec.WorkDir, executor.ContainerWork, true))
	}
	for _, m := range spec.DataMounts {
		ms = append(ms, bind(m.Source, m.Target, true))
	}
	return ms
}

// tmpfs is the options of a bounded tmpfs. Programs may be executed from it:
// run-time compilers, Java and Python packages unpack code into /tmp or the home
// directory and load it from there, and the output directory is executable
// anyway, so forbidding it would break programs and stop nobody. The memory
// counts to the job's limit.
func tmpfs(size int64, options string) string {
	return "rw,exec,nosuid,nodev,size=" + strconv.FormatInt(size, 10) + "," + options
}

// tmpfses are the writable places of a job beside its directories.
func tmpfses(spec executor.Spec) map[string]string {
	return map[string]string{
		"/tmp": tmpfs(spec.Sandbox.TmpBytes, "mode=1777"),
		executor.ContainerHome: tmpfs(spec.Sandbox.HomeBytes,
			fmt.Sprintf("mode=0700,uid=%d,gid=%d", spec.User.UID, spec.User.GID)),
	}
}

// covers are tmpfs mounts over the volumes that an image declares, which the
// engine would otherwise make on the host's disk, writable and without bound. An
// image may name one more than once, and without its first slash.
func covers(volumes []string, spec executor.Spec, others []mount.Mount) []mount.Mount {
	taken := func(path string) bool {
		return path == "/tmp" || path == executor.ContainerHome || path == "/dev/shm" ||
			slices.ContainsFunc(others, func(m mount.Mount) bool { return filepath.Clean(m.Target) == path })
	}
	var ms []mount.Mount
	seen := map[string]bool{}
	for _, v := range volumes {
		if path := filepath.Clean("/" + v); !seen[path] && !taken(path) {
			seen[path] = true
			ms = append(ms, mount.Mount{
				Type: mount.TypeTmpfs, Target: path,
				TmpfsOptions: &mount.TmpfsOptions{SizeBytes: spec.Sandbox.TmpBytes, Mode: 0o1777},
			})
		}
	}
	return ms
}

// validateVolumes refuses an image with a volume where neither a cover nor the
// engine's own volume can be: it would hide what the job writes from its results,
// put directories of root's into them, or keep every container from starting.
func validateVolumes(volumes []string, others []mount.Mount) error {
	for _, v := range volumes {
		path := filepath.Clean("/" + v)
		bad := path == "/" || inSystem(path)
		if !slices.ContainsFunc(others, func(m mount.Mount) bool { return filepath.Clean(m.Target) == path }) {
			bad = bad || within(path, lynxDir) && path != executor.ContainerHome ||
				slices.ContainsFunc(others, func(m mount.Mount) bool { return within(path, filepath.Clean(m.Target)) })
		}
		if bad {
			return fmt.Errorf("%w: the image declares a volume at %q, which the runner or the system uses: build it without", executor.ErrInvalidSpec, v)
		}
	}
	return nil
}

// lynxDir has everything in a container that is the runner's.
const lynxDir = "/lynx"

// inSystem says whether a path is, or is in, a file system of the kernel's.
func inSystem(path string) bool {
	return path != "/dev/shm" && slices.ContainsFunc([]string{"/proc", "/sys", "/dev"}, func(dir string) bool { return within(path, dir) })
}

// recursiveReadOnly sets the engine's option to make a source's submounts
// read-only too, where there are any, or refuses where the engine can't: engines
// before API 1.44 (Docker 25) leave them writable.
func recursiveReadOnly(ms []mount.Mount, mountpoints []string, engineCan bool) error {
	for i, m := range ms {
		if !m.ReadOnly || m.Type != mount.TypeBind {
			continue
		}
		sub := below(m.Source, mountpoints)
		if sub == "" {
			continue
		}
		if !engineCan {
			return fmt.Errorf("%w: %s has a file system mounted below it, at %s, which would stay writable for the job: "+
				"unmount it or use another directory; engines from Docker 25 on can mount it read-only",
				executor.ErrInvalidSpec, m.Source, sub)
		}
		ms[i].BindOptions.ReadOnlyForceRecursive = true
	}
	return nil
}

// below returns a mount point strictly below a directory, or "".
func below(dir string, mountpoints []string) string {
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	prefix := strings.TrimSuffix(dir, "/") + "/"
	for _, p := range mountpoints {
		if strings.HasPrefix(p, prefix) {
			return p
		}
	}
	return ""
}

// hostMountpoints reads the mount points that this process sees.
func hostMountpoints() ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parseMountpoints(f)
}

// parseMountpoints reads the fifth field of each line of a mountinfo file
// (proc_pid_mountinfo(5)), in which blanks and backslashes are octal escapes.
func parseMountpoints(r io.Reader) ([]string, error) {
	var points []string
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 4 {
			points = append(points, unescape(fields[4]))
		}
	}
	return points, lines.Err()
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
