//go:build engine

package docs

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tetryx/lynx-runner/internal/platform/auth"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// TestDemo: the demo prints what the README shows, but for times, and leaves the
// picture.
func TestDemo(t *testing.T) {
	dir := t.TempDir()
	out := shell(t, absolute(t, "."), "scripts/demo.sh scenarios/aerospace/configs/basic_orbit_tutorial.yaml 10 "+dir, "BIN="+bin)
	shown := shownTable(t)
	printed := strings.Split(out, "\n")
	found := 0
	for _, line := range printed {
		if slices.Contains(shown, timeless(line)) {
			found++
		}
	}
	if found != len(shown) {
		t.Errorf("of the %d lines that the README shows,\n%s\n%d are in what was printed:\n%s", len(shown), strings.Join(shown, "\n"), found, out)
	}
	batch, err := filepath.EvalSymlinks(filepath.Join(dir, "latest"))
	must(t, err)
	if info, err := os.Stat(filepath.Join(batch, "orbits.png")); err != nil || info.Size() < 10_000 {
		t.Errorf("the picture of all orbits: %v", err)
	}
}

// shownTable is the README's sample of what the demo prints, less its ends: where
// the files are differs.
func shownTable(t *testing.T) []string {
	t.Helper()
	for _, b := range blocks(t, "README.md", "") {
		if !strings.HasPrefix(b.text, "Basic orbit") {
			continue
		}
		var lines []string
		for line := range strings.Lines(b.text) {
			if line = timeless(line); line != "" && line != "…" && !strings.Contains(line, "<batch>") {
				lines = append(lines, line)
			}
		}
		if len(lines) < 6 {
			t.Fatalf("the README shows only %q", lines)
		}
		return lines
	}
	t.Fatal("the README shows no table")
	return nil
}

var (
	inSeconds = regexp.MustCompile(` in [0-9.]+ s`)
	duration  = regexp.MustCompile(` completed [0-9.]+ `)
)

// timeless is a line of the demo's, whatever the time that it took and however
// wide its columns are.
func timeless(line string) string {
	line = strings.Join(strings.Fields(line), " ")
	return duration.ReplaceAllString(inSeconds.ReplaceAllString(line, " in … s"), " completed … ")
}

// TestScenarioAsPasted: from a simulator to a study, and the tutorial by hand, as
// docs/scenario.md has them to be pasted.
func TestScenarioAsPasted(t *testing.T) {
	const tag = "lynx-docs-stone" // no image of somebody's own
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", "--force", tag).Run() })
	var script strings.Builder
	for _, b := range blocks(t, "docs/scenario.md", "sh") {
		script.WriteString(b.text)
	}
	text := script.String()
	for _, change := range [][2]string{{"--tag stone .", "--tag " + tag + " ."}, {"image: stone,", "image: " + tag + ","}, {"runs: 20", "runs: 2"}} {
		if !strings.Contains(text, change[0]) {
			t.Fatalf("docs/scenario.md has no %q", change[0])
		}
		text = strings.Replace(text, change[0], change[1], 1)
	}
	dir := t.TempDir()
	must(t, os.Symlink(absolute(t, "scenarios"), filepath.Join(dir, "scenarios")))
	out := shell(t, dir, text, "PATH="+bin+":"+filepath.Dir(venvPython(t))+":"+os.Getenv("PATH"))
	if !strings.Contains(out, "2 completed") || !strings.Contains(out, "impact_speed_m_s") {
		t.Errorf("the stones did not fall:\n%s", out)
	}
	for _, file := range []string{"lynx-output/latest/00001/attempt-1/output/summary.json", "out/summary.json", "out/trajectory.csv"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Error(err)
		}
	}
}

// venvPython is the Python that `make venv` makes.
func venvPython(t *testing.T) string {
	t.Helper()
	path := absolute(t, ".cache/basilisk-venv/bin/python3")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("run `make venv`: %v", err)
	}
	return path
}

// TestCurlAsPrinted: each line of curl in a document works as it stands, but for
// address, token and ids.
func TestCurlAsPrinted(t *testing.T) {
	dir := t.TempDir()
	rest, token := platform(t, dir)
	must(t, os.WriteFile(filepath.Join(dir, "study.yaml"), []byte(blocks(t, "README.md", "yaml")[0].text), 0o600))
	script := "curl() { command curl --fail-with-body --silent --show-error \"$@\"; }\n" +
		"batch=$(lynxctl submit study.yaml --runs 2 --server http://" + rest + " --token-file " + token + ")\n"
	curls := 0
	for _, p := range said(t) {
		if strings.HasPrefix(p.text, "curl -") || strings.HasPrefix(p.text, "token=$(") {
			script += p.text + "; echo\n"
			curls += strings.Count(p.text, "curl ")
		}
	}
	script = strings.NewReplacer("/var/lib/lynx/token", token, "127.0.0.1:5969", rest).Replace(script)
	out := shell(t, dir, script, "PATH="+bin+":"+os.Getenv("PATH"))
	for _, want := range []string{`"status":"Pending"`, `"runner_id":"lab-process"`, `"batch_id"`} {
		if curls < 4 || !strings.Contains(out, want) {
			t.Errorf("%d calls printed no %s:\n%s", curls, want, out)
		}
	}
}

// TestCallsAreDocumented: docs/api.md has every call of the platform, and no other.
func TestCallsAreDocumented(t *testing.T) {
	rest, token := platform(t, t.TempDir())
	secret, err := os.ReadFile(token)
	must(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+rest+"/openapi.json", nil)
	must(t, err)
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(secret)))
	answer, err := http.DefaultClient.Do(request)
	must(t, err)
	defer answer.Body.Close()
	var document struct {
		Paths map[string]map[string]any
	}
	must(t, json.NewDecoder(answer.Body).Decode(&document))
	var calls, told []string
	for path, methods := range document.Paths {
		for method := range methods {
			calls = append(calls, strings.ToUpper(method)+" "+path)
		}
	}
	for _, p := range said(t) {
		if p.file == "docs/api.md" && regexp.MustCompile(`^(GET|POST|PUT|PATCH|DELETE) /[^?]*$`).MatchString(p.text) {
			told = append(told, p.text)
		}
	}
	slices.Sort(calls)
	slices.Sort(told)
	if len(calls) < 20 || !slices.Equal(calls, told) {
		t.Errorf("the platform has\n%s\ndocs/api.md has\n%s", strings.Join(calls, "\n"), strings.Join(told, "\n"))
	}
}

// platform starts one with the runner that the README names, and says where it is.
func platform(t *testing.T, dir string) (rest, tokenFile string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(bin, "lynx-server"), "--listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0", "--data", filepath.Join(dir, "data"))
	log, err := cmd.StderrPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	var up struct {
		Rest, GRPC string
		TokenFile  string `json:"token_file"`
	}
	lines := bufio.NewScanner(log)
	for up.TokenFile == "" && lines.Scan() {
		must(t, json.Unmarshal(lines.Bytes(), &up))
	}
	secret, err := os.ReadFile(up.TokenFile)
	must(t, err)
	conn, err := grpc.NewClient(up.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(auth.Credentials(strings.TrimSpace(string(secret)))))
	must(t, err)
	defer conn.Close()
	_, err = runnerv1.NewRunnerServiceClient(conn).Register(t.Context(), &runnerv1.RegisterRequest{
		RunnerId: "lab-process", InstallationId: "docs", Version: "1", Hostname: "host", Executor: "process",
		Capabilities: &runnerv1.Capabilities{MaxConcurrentJobs: 1, CpuCores: 1, MemoryGb: 1, SupportedSimulationTypes: []string{"basilisk"}},
	})
	must(t, err)
	return up.Rest, up.TokenFile
}
