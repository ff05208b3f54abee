package docker

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/shim"
)

// lose has the daemon do what is asked, and break off instead of answering.
func (d *daemon) lose(request string) {
	d.on(request, func(_ http.ResponseWriter, r *http.Request) {
		d.on(request, nil)
		d.mu.Lock()
		d.calls = slices.Delete(d.calls, slices.Index(d.calls, request), slices.Index(d.calls, request)+1) // it is noted again
		d.mu.Unlock()
		d.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	})
}

// failing makes the first calls of a request fail.
func (d *daemon) failing(request string, times int32) {
	var asked atomic.Int32
	d.on(request, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == times {
			d.on(request, nil)
		}
		status(http.StatusInternalServerError)(w, r)
	})
}

// emptied waits until the daemon has no container.
func (d *daemon) emptied() {
	d.t.Helper()
	for end := time.Now().Add(30 * time.Second); d.count() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			d.t.Fatalf("%d containers are left", d.count())
		}
	}
}

// TestStartNotAnswered: a container that was started is the attempt's, though the
// engine did not say so and cannot be asked at once, and is not started twice.
func TestStartNotAnswered(t *testing.T) {
	d := newDaemon(t)
	d.init = fakeInit{Report: report(4), Code: 4}
	d.lose("POST /containers/{id}/start")
	d.failing("GET /containers/{id}/json", 3)
	h := mustStart(t, d.executor(), testSpec(t))
	d.release("job-1")
	if x := mustWait(t, h); !x.Known || x.Code != 4 {
		t.Errorf("got %+v", x)
	}
	calls := d.seen()
	if n := len(slices.DeleteFunc(calls, func(c string) bool { return c != "POST /containers/{id}/start" })); n != 1 {
		t.Errorf("started %d times", n)
	}
	if err := h.Remove(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRecordOfAnEngineThatWasAway has the engine call a failed job's container ended
// with 0, as one does that was killed at the container's end. Nothing but a question
// that it does not answer shows that it was away.
func TestRecordOfAnEngineThatWasAway(t *testing.T) {
	for name, recovered := range map[string]bool{"started here": false, "taken up": true} {
		for away, want := range map[bool]int{false: 0, true: 3} {
			t.Run(fmt.Sprint(name, ", away ", away), func(t *testing.T) {
				d := newDaemon(t)
				d.init = fakeInit{Hasty: true}
				spec := testSpec(t)
				if err := os.WriteFile(filepath.Join(spec.LogDir, executor.KeptReport), []byte(`{"code":3}`+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				var h executor.Handle = mustStart(t, d.executor(), spec)
				if recovered {
					list, err := d.executor().Recover(t.Context())
					if err != nil || len(list) != 1 {
						t.Fatalf("recovered %v, %v", list, err)
					}
					h = list[0]
				}
				if away {
					d.failing("GET /containers/{id}/json", 1)
				}
				d.release("job-1")
				if x := mustWait(t, h); x.Code != want || !x.Known {
					t.Errorf("got %+v, want code %d", x, want)
				}
			})
		}
	}
}

// An engine's shutdown is behind a SIGTERM that its record does not tell of either.
func TestDoubtful(t *testing.T) {
	term := &shim.ExitReport{Code: 143, Signal: 15}
	for name, c := range map[string]struct {
		v    evidence
		want bool
	}{
		"SIGTERM":                       {evidence{record: &record{exitCode: 143}, report: term}, true},
		"forgotten by the engine":       {evidence{record: &record{exitCode: 0}, report: term, brokeOff: true}, true},
		"not seen by the engine":        {evidence{record: &record{exitCode: 255}, report: term, brokeOff: true}, true},
		"0 of an engine that was there": {evidence{record: &record{exitCode: 0}, report: term}, false},
		"an exit of the job's":          {evidence{record: &record{exitCode: 0}, report: &shim.ExitReport{Code: 3}, brokeOff: true}, false},
		"our kill":                      {evidence{record: &record{exitCode: 137}, killed: true}, false},
	} {
		if got := doubtful(c.v); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestRemovedBehind: what cannot be removed after a failed start is removed when the
// engine is back, without anybody asking.
func TestRemovedBehind(t *testing.T) {
	d := newDaemon(t)
	d.on("POST /containers/{id}/start", status(http.StatusInternalServerError))
	d.failing("DELETE /containers/{id}", 3)
	if _, err := d.executor().Start(t.Context(), testSpec(t)); err == nil {
		t.Fatal("it started")
	}
	d.emptied()
}

// TestCreateNotAnsweredByAnEngineAway: the container of a create that was not
// answered goes too when the engine is back; that of a later Start stays.
func TestCreateNotAnsweredByAnEngineAway(t *testing.T) {
	d := newDaemon(t)
	d.init = fakeInit{Report: report(0)}
	d.lose("POST /containers/create")
	d.failing("GET /containers/{id}/json", 1)
	e := d.executor()
	if _, err := e.Start(t.Context(), testSpec(t)); !errors.Is(err, executor.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	d.emptied()

	d.lose("POST /containers/create")
	d.failing("GET /containers/{id}/json", 1)
	if _, err := e.Start(t.Context(), testSpec(t)); !errors.Is(err, executor.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	h := mustStart(t, e, testSpec(t))
	e.discardLater(containerName("job-1"), "job-1") // comes to its end on finding the handle
	if d.count() != 1 {
		t.Error("the later container is gone")
	}
	if _, err := h.Kill(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestLostWhileStarting: an engine that calls a container created whose job has
// written its log has lost it, and the attempt is not to be tried again.
func TestLostWhileStarting(t *testing.T) {
	for name, ran := range map[string]bool{"never ran": false, "ran": true} {
		t.Run(name, func(t *testing.T) {
			d, spec := newDaemon(t), testSpec(t)
			d.on("POST /containers/{id}/start", func(http.ResponseWriter, *http.Request) {
				if ran {
					if err := os.WriteFile(filepath.Join(spec.LogDir, stdoutLog), []byte("begun\n"), 0o600); err != nil {
						t.Error(err)
					}
				}
				panic(http.ErrAbortHandler)
			})
			if _, err := d.executor().Start(t.Context(), spec); err == nil || errors.Is(err, executor.ErrUnavailable) == ran {
				t.Errorf("got %v", err)
			}
			d.emptied()
		})
	}
}

// TestEndedBeforeItIsKnown has the container end before the engine tells its process
// id. What the shim reported is heard all the same.
func TestEndedBeforeItIsKnown(t *testing.T) {
	d := newDaemon(t)
	d.endsFirst = true
	d.init = fakeInit{Report: &shim.ExitReport{Code: 139, Signal: 11}, Code: 139, Hasty: true}
	h := mustStart(t, d.executor(), testSpec(t))
	if x := mustWait(t, h); x.Signal != 11 || len(x.Notes) > 0 {
		t.Errorf("got %+v, want what the shim said", x)
	}
}

// TestReportKeptForARunnerThatWasAway has a report beside the logs and none over the
// connection. It counts as that one would, for another process as well.
func TestReportKeptForARunnerThatWasAway(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		signal int
		note   string
	}{
		"kept":         {`{"code":139,"signal":11,"stdout":{"written":7,"dropped":0},"stderr":{"written":0,"dropped":0}}` + "\n", 11, ""},
		"forged":       {`{"code":0}` + "\n", 0, "the engine recorded 139"},
		"half of it":   {`{"code":139,"sig`, 0, "report is missing"},
		"not a report": {"[]\n", 0, "report is missing"},
		"nothing":      {"", 0, "report is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t)
			d.init = fakeInit{Code: 139, Hasty: true}
			spec := testSpec(t)
			path := filepath.Join(spec.LogDir, ".exit.json")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			h := mustStart(t, d.executor(), spec)
			d.release("job-1")
			x := mustWait(t, h)
			if notes := strings.Join(x.Notes, "\n"); x.Code != 139 || x.Signal != c.signal || !strings.Contains(notes, c.note) || (c.note == "") != (notes == "") {
				t.Errorf("got %+v, want signal %d and a note %q", x, c.signal, c.note)
			}
			if c.signal != 0 && x.Logs.Stdout.Written != 7 {
				t.Errorf("logs %+v", x.Logs)
			}
			again, err := d.executor().Recover(t.Context())
			if err != nil || len(again) != 1 {
				t.Fatalf("recovered %v, %v", again, err)
			}
			if y := mustWait(t, again[0]); name == "kept" && (y.Code != x.Code || y.Signal != x.Signal || y.Known != x.Known) {
				t.Errorf("another process got %+v", y)
			} else if name == "forged" && (y.Code != 139 || y.Signal != 0) || c.note == "report is missing" && y.Known {
				t.Errorf("another process, which may have missed that the engine was away, got %+v", y)
			}
		})
	}
}

// TestSignalledByOthers has the engine say that somebody else had it send
// SIGTERM, as its shutdown does, or the shim, where the engine does not know any more;
// the job then ends by it, properly reported.
func TestSignalledByOthers(t *testing.T) {
	event := []string{`{"Type":"container","Action":"kill","Actor":{"ID":"x","Attributes":{"signal":"15"}}}`}
	for name, c := range map[string]struct {
		events    []string
		forwarded int
		want      bool
	}{"the engine tells": {event, 0, true}, "the shim tells": {nil, 15, true}, "nobody tells": {nil, 0, false}} {
		t.Run(name, func(t *testing.T) {
			d := newDaemon(t)
			d.events = c.events
			d.init = fakeInit{Report: &shim.ExitReport{Code: 143, Signal: 15, Forwarded: c.forwarded}, Code: 143}
			h := mustStart(t, d.executor(), testSpec(t))
			d.release("job-1")
			if x := mustWait(t, h); x.ExternalKill != c.want || x.Signal != 15 {
				t.Errorf("got %+v, want ExternalKill %v and signal 15", x, c.want)
			}
		})
	}
}
