package docker

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// daemon is a Docker Engine of our own on a unix socket: it knows the requests
// that the executor sends, runs each container's init as a process on this
// machine, and fails where a test tells it to.
type daemon struct {
	t    *testing.T
	host string

	mu         sync.Mutex
	calls      []string
	containers map[string]*fakeContainer // by name
	created    json.RawMessage           // the last create request's body
	images     map[string]string         // reference to id
	events     []string
	// fail takes over requests whose "METHOD path" matches the key.
	fail map[string]http.HandlerFunc
	// init is what the next containers' inits do.
	init fakeInit
	// shownPID is the pid that containers are said to have; 0 for the true one.
	shownPID int
	// endsFirst has containers end before the engine has said that they are started.
	endsFirst bool
}

type fakeContainer struct {
	id, name string
	labels   map[string]string
	mounts   json.RawMessage
	memory   int64
	status   string
	pid      int
	exitCode int
	oom      bool
	release  io.Closer // closing it lets the init end
	ended    chan struct{}
}

// newDaemon starts a daemon that ends with the test, and looks for what the test
// leaves running.
func newDaemon(t *testing.T) *daemon {
	t.Helper()
	before := goleak.IgnoreCurrent()
	dir, err := os.MkdirTemp("/tmp", "lx")
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{
		t: t, host: "unix://" + filepath.Join(dir, "d.sock"),
		containers: map[string]*fakeContainer{}, images: map[string]string{"lynx-test:latest": "sha256:aaaa", "sha256:aaaa": "sha256:aaaa"},
		fail: map[string]http.HandlerFunc{},
	}
	l, err := net.Listen("unix", filepath.Join(dir, "d.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: d, ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})
	go func() {
		_ = server.Serve(l)
		close(served)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
		d.mu.Lock()
		left := d.containers
		d.mu.Unlock()
		for _, c := range left {
			d.end(c)
		}
		_ = os.RemoveAll(dir)
		goleak.VerifyNone(t, before)
	})
	return d
}

// on takes over the requests "METHOD /path", where {id} stands for any container.
func (d *daemon) on(request string, h http.HandlerFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h == nil {
		delete(d.fail, request)
		return
	}
	d.fail[request] = h
}

// hang holds a request until the client goes away.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice
	<-r.Context().Done()
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { problem(w, code, "as the test wants it") }
}

func problem(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": text})
}

func (d *daemon) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if rest, ok := strings.CutPrefix(path, "/v"); ok {
		_, rest, _ = strings.Cut(rest, "/")
		path = "/" + rest
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	id := ""
	switch {
	case len(parts) >= 2 && parts[0] == "containers" && parts[1] != "create" && parts[1] != "json":
		id, parts[1] = parts[1], "{id}"
	case len(parts) >= 3 && parts[0] == "images":
		id, parts = strings.Join(parts[1:len(parts)-1], "/"), []string{"images", "{id}", parts[len(parts)-1]}
	}
	request := r.Method + " /" + strings.Join(parts, "/")
	d.mu.Lock()
	d.calls = append(d.calls, request)
	h := d.fail[request]
	d.mu.Unlock()
	if h != nil {
		h(w, r)
		return
	}
	d.serve(w, r, request, id)
}

func (d *daemon) serve(w http.ResponseWriter, r *http.Request, request, id string) {
	switch request {
	case "HEAD /_ping", "GET /_ping":
		w.Header().Set("Api-Version", "1.41")
	case "GET /info":
		_, _ = io.WriteString(w, `{"ServerVersion":"20.10.24","Architecture":"x86_64","CgroupVersion":"1","CgroupDriver":"cgroupfs",`+
			`"MemoryLimit":true,"SwapLimit":true,"PidsLimit":true,"CpuCfsQuota":true,"SecurityOptions":["name=seccomp,profile=default"],`+
			`"Runtimes":{"runc":{"path":"runc"}},"DefaultRuntime":"runc","NCPU":2}`)
	case "GET /images/{id}/json":
		d.mu.Lock()
		found := d.images[id]
		d.mu.Unlock()
		if found == "" {
			problem(w, http.StatusNotFound, "No such image: "+id)
			return
		}
		_, _ = fmt.Fprintf(w, `{"Id":%q,"Config":{"Volumes":{"/data":{},"/tmp":{}}}}`, found)
	case "POST /containers/create":
		d.create(w, r)
	case "GET /containers/json":
		d.list(w, r)
	case "GET /events":
		d.mu.Lock()
		for _, e := range d.events {
			_, _ = io.WriteString(w, e+"\n")
		}
		d.mu.Unlock()
	default:
		d.serveContainer(w, r, request, id)
	}
}

func (d *daemon) serveContainer(w http.ResponseWriter, r *http.Request, request, id string) {
	c := d.find(id)
	if c == nil {
		problem(w, http.StatusNotFound, "No such container: "+id)
		return
	}
	switch request {
	case "POST /containers/{id}/start":
		d.start(w, c)
	case "POST /containers/{id}/wait":
		d.wait(w, r, c)
	case "GET /containers/{id}/json":
		d.inspect(w, c)
	case "POST /containers/{id}/kill":
		d.mu.Lock()
		running := kill9(c.pid)
		d.mu.Unlock()
		if !running {
			problem(w, http.StatusConflict, "the container is not running")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	case "DELETE /containers/{id}":
		d.remove(c)
		w.WriteHeader(http.StatusNoContent)
	default:
		problem(w, http.StatusNotImplemented, "the fake daemon does not know "+request)
	}
}

func (d *daemon) find(id string) *fakeContainer {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, c := range d.containers {
		if id == name || id == c.id {
			return c
		}
	}
	return nil
}

func (d *daemon) create(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var req struct {
		Labels     map[string]string
		HostConfig struct {
			Memory int64
			Mounts json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &req); err != nil {
		problem(w, http.StatusBadRequest, err.Error())
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	name := r.URL.Query().Get("name")
	if d.containers[name] != nil {
		problem(w, http.StatusConflict, "the name is in use")
		return
	}
	d.created = body
	c := &fakeContainer{
		id: newID(), name: name, labels: req.Labels,
		memory: req.HostConfig.Memory, mounts: req.HostConfig.Mounts, status: "created", ended: make(chan struct{}),
	}
	d.containers[name] = c
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{"Id": c.id, "Warnings": []string{}})
}

// newID is a container's id, which no other test of this machine has.
func newID() string {
	id := make([]byte, 32)
	_, _ = rand.Read(id) // it never fails
	return hex.EncodeToString(id)
}

// start runs the init: this binary, which finds the control socket where the
// executor listens.
func (d *daemon) start(w http.ResponseWriter, c *fakeContainer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	script := d.init
	script.Control = filepath.Join(c.labels[labelRuntimeDir], controlSocket)
	text, _ := json.Marshal(script)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{initVariable + "=" + string(text)}
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		problem(w, http.StatusInternalServerError, err.Error())
		return
	}
	c.status, c.pid, c.release = "running", cmd.Process.Pid, stdin
	go func() {
		err := cmd.Wait()
		d.mu.Lock()
		defer d.mu.Unlock()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
				c.exitCode = 128 + int(s.Signal())
			} else {
				c.exitCode = exit.ExitCode()
			}
		}
		c.status, c.pid = "exited", 0
		close(c.ended)
	}()
	if d.endsFirst {
		_ = stdin.Close()
		d.mu.Unlock()
		<-c.ended
		d.mu.Lock()
	}
	w.WriteHeader(http.StatusNoContent)
}

func (d *daemon) wait(w http.ResponseWriter, r *http.Request, c *fakeContainer) {
	w.WriteHeader(http.StatusOK)
	w.(http.Flusher).Flush()
	select {
	case <-c.ended:
		_ = json.NewEncoder(w).Encode(map[string]int{"StatusCode": c.exitCode})
	case <-r.Context().Done():
	}
}

func (d *daemon) inspect(w http.ResponseWriter, c *fakeContainer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	mounts, pid := c.mounts, c.pid
	if d.shownPID != 0 {
		pid = d.shownPID
	}
	if mounts == nil {
		mounts = json.RawMessage("[]")
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"Id": c.id, "Name": "/" + c.name, "Config": map[string]any{"Labels": c.labels},
		"HostConfig": map[string]any{"Memory": c.memory, "Mounts": mounts},
		"State": map[string]any{
			"Status": c.status, "Running": c.status == "running", "Pid": pid, "ExitCode": c.exitCode, "OOMKilled": c.oom,
			"StartedAt": time.Now().Add(-time.Minute).Format(time.RFC3339Nano), "FinishedAt": time.Now().Format(time.RFC3339Nano),
		},
	})
}

func (d *daemon) remove(c *fakeContainer) {
	d.mu.Lock()
	delete(d.containers, c.name)
	d.mu.Unlock()
	d.end(c)
}

// kill9 kills a process, and never the group that 0 stands for.
func kill9(pid int) bool { return pid > 1 && syscall.Kill(pid, syscall.SIGKILL) == nil }

// end kills a container's init, if it has one.
func (d *daemon) end(c *fakeContainer) {
	d.mu.Lock()
	pid := c.pid
	d.mu.Unlock()
	if kill9(pid) {
		<-c.ended
	}
	if c.release != nil {
		_ = c.release.Close()
	}
}

func (d *daemon) list(w http.ResponseWriter, r *http.Request) {
	var filters struct{ Label map[string]bool }
	_ = json.Unmarshal([]byte(r.URL.Query().Get("filters")), &filters)
	d.mu.Lock()
	defer d.mu.Unlock()
	found := []map[string]any{}
	for _, c := range d.containers {
		for k, v := range c.labels {
			if filters.Label[k+"="+v] {
				found = append(found, map[string]any{"Id": c.id, "Labels": c.labels})
			}
		}
	}
	_ = json.NewEncoder(w).Encode(found)
}

// release lets an attempt's init end.
func (d *daemon) release(attempt string) {
	d.t.Helper()
	c := d.find(containerName(attempt))
	if c == nil || c.release == nil {
		d.t.Fatalf("no running container of %s", attempt)
	}
	_ = c.release.Close()
}

// seen returns the requests so far, without those about images and the engine.
func (d *daemon) seen() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(d.calls), func(c string) bool {
		return strings.Contains(c, "/_ping") || strings.Contains(c, "/info") || strings.Contains(c, "/images")
	})
}

func (d *daemon) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.containers)
}
