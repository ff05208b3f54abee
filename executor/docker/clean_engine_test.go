//go:build engine

package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/executor"
)

// TestCleaner finds on a real engine what was left there, as images/*/build.sh and
// a runner that was killed leave it, and removes that alone.
func TestCleaner(t *testing.T) {
	e := newTestExecutor(t, testRunners+"cleaner")
	defer e.Close()
	older, newer := importImage(t, "one"), importImage(t, "two")
	derived := dockerCLI(t, "FROM "+older+"\nENV MINE=1\n", "build", "--quiet", "-")
	t.Cleanup(func() { _ = exec.Command("docker", "image", "rm", derived).Run() })
	find := func() map[string]executor.Image {
		t.Helper()
		images, err := e.Images(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]executor.Image{}
		for _, i := range images {
			found[i.ID] = i
		}
		return found
	}
	// As long as somebody's image is made from it, it is a layer of that, which is
	// not ours.
	found := find()
	if found[older].ID != "" || found[derived].ID != "" {
		t.Errorf("beside an image made from it: %+v", found)
	}
	dockerCLI(t, "", "image", "rm", "--no-prune", derived)
	found = find()
	if i := found[older]; i.Title != "lynx-test-cleaner" || len(i.Names) > 0 || i.InUse {
		t.Errorf("the older build: %+v", i)
	}
	if i := found[newer]; !slices.Equal(i.Names, []string{cleanerImage()}) {
		t.Errorf("the newer build: %+v", i)
	}

	running := makeContainer(t, e, plainImage, "running", "run", "--detach", "/job", "sleep", "600")
	created := makeContainer(t, e, older, "created", "create", "/x")
	if i := find()[older]; !i.InUse {
		t.Error("a container's image is not in use")
	}
	if err := e.RemoveImage(t.Context(), found[older]); err == nil {
		t.Error("an image in use is removed")
	}
	containers, err := e.Containers(t.Context())
	if err != nil || len(containers) != 2 {
		t.Fatalf("%+v, %v", containers, err)
	}
	for _, c := range containers {
		if c.Ended != (c.ID == created) || c.Since.Year() < 2020 || c.RuntimeDir != "/x/y" {
			t.Errorf("%+v", c)
		}
	}
	if err := e.RemoveContainer(t.Context(), running); err == nil {
		t.Error("a running container is removed")
	}
	if err := e.RemoveContainer(t.Context(), created); err != nil {
		t.Error(err)
	}
	if err := e.RemoveImage(t.Context(), found[older]); err != nil {
		t.Error(err)
	}
	found = find()
	if _, there := found[older]; there || found[newer].ID == "" {
		t.Errorf("left %+v", found)
	}
}

func cleanerImage() string { return fmt.Sprintf("lynx-test-cleaner:%d", os.Getpid()) }

// importImage makes an image as images/base/build.sh does, which takes the name of
// the one before.
func importImage(t *testing.T, content string) string {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(&tar.Header{Name: "x", Mode: 0o755, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, content)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	id := dockerCLI(t, archive.String(), "import", "--change", "LABEL io.tetryx.lynx.inputs="+content,
		"--change", "LABEL org.opencontainers.image.title=lynx-test-cleaner", "-", cleanerImage())
	t.Cleanup(func() { _ = exec.Command("docker", "image", "rm", "--force", id).Run() })
	return id
}

// makeContainer makes one with the labels of this executor's.
func makeContainer(t *testing.T, e *Executor, image, attempt, how string, args ...string) string {
	t.Helper()
	at := slices.IndexFunc(args, func(s string) bool { return !strings.HasPrefix(s, "--") })
	id := fmt.Sprintf("%s-%d", attempt, os.Getpid())
	all := append([]string{how}, args[:at]...)
	all = append(all, "--name", containerName(id), "--network", "none",
		"--label", labelRunner+"="+e.cfg.RunnerID, "--label", labelAttempt+"="+id, "--label", labelRuntimeDir+"=/x/y", image)
	out := dockerCLI(t, "", append(all, args[at:]...)...)
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "--force", out).Run() })
	return out
}

// dockerCLI runs the command line client, and returns what it prints.
func dockerCLI(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	cmd.Stdin = strings.NewReader(stdin)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		t.Fatalf("docker %q: %v\n%s", args, err, problems.String())
	}
	return strings.TrimSpace(out.String())
}
