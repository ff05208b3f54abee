package rest_test

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform/live"
	"github.com/tetryx/lynx-runner/internal/platform/store/files"
)

func chunk(stream string, offset int64, data string) live.LogChunk {
	return live.LogChunk{Stream: stream, Offset: offset, Data: []byte(data)}
}

func TestStoredLogs(t *testing.T) {
	w := start(t, keeps(t, map[files.AttemptKey]map[string]string{first: {"log/stdout.log": "out\x1b[2J\n", "log/stderr.log": ""}}))
	w.finish(leaves("completed"))
	for path, want := range map[string]string{
		"/jobs/id-3/logs/stdout": "out\x1b[2J\n", "/jobs/id-3/logs/stderr": "", "/jobs/id-3/logs/stdout?attempt=1&follow=true": "out\x1b[2J\n",
	} {
		a := w.get(path)
		if a.status != 200 || a.body != want || a.header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: %d %q %v", path, a.status, a.body, a.header)
		}
	}
	if a := w.do("GET", "/jobs/id-3/logs/stdout", "", header("Range", "bytes=0-2")); a.status != 206 || a.body != "out" {
		t.Errorf("range: %d %q", a.status, a.body)
	}
	problem(t, w.get("/jobs/id-4/logs/stdout"), 404)           // has no attempt yet
	problem(t, w.get("/jobs/id-3/logs/stdout?attempt=2"), 404) // has one only
}

// Without follow, a running attempt's log is what there is; gaps are shown,
// overlaps are not.
func TestLogOfARunningAttempt(t *testing.T) {
	l := &tails{}
	w := start(t, tailing(l))
	w.run()
	c := l.add()
	go func() {
		for _, item := range []live.Item{
			chunk("stdout", 0, "abc"), chunk("stderr", 0, "err"), chunk("stdout", 1, "bcd"), live.TelemetryChunk{}, chunk("stdout", 2, "cd"), chunk("stdout", 10, "x"),
		} {
			c <- item
		}
	}()
	a := w.get("/jobs/id-3/logs/stdout")
	if a.status != 200 || a.body != "abcd\n[6 bytes are not shown here]\nx" {
		t.Errorf("%d %q", a.status, a.body)
	}
	if !slices.Equal(l.asked, []string{"runner-a id-3-1 logs"}) {
		t.Errorf("asked for %q", l.asked)
	}
}

// With follow it comes as it is printed, through a lost connection of the runner,
// until the attempt has ended.
func TestFollowLog(t *testing.T) {
	l := &tails{}
	w := start(t, tailing(l))
	_, end := w.run()
	one, two := l.add(), l.add()
	res, r := w.open("/jobs/id-3/logs/stdout?follow=true")
	if res.StatusCode != 200 {
		t.Fatal(res.Status)
	}
	expect := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
	}
	one <- chunk("stdout", 0, "one\n")
	expect("one\n")
	close(one)
	two <- chunk("stdout", 0, "one\ntwo\n") // from the beginning, as after each connection
	expect("two\n")
	close(two)
	end()
	if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil {
		t.Errorf("then %q, %v", rest, err)
	}
}

// A job that waits is followed from when it runs.
func TestFollowLogOfAWaitingJob(t *testing.T) {
	l := &tails{}
	w := start(t, tailing(l))
	c := l.add()
	s := w.session("runner-a")
	w.submit()
	type opened struct {
		res *http.Response
		r   *bufio.Reader
	}
	got := make(chan opened)
	go func() {
		res, r := w.open("/jobs/id-3/logs/stdout?follow=true")
		got <- opened{res, r}
	}()
	w.claim(s, 1)
	o := <-got
	c <- chunk("stdout", 0, "begun")
	data := make([]byte, 5)
	if _, err := io.ReadFull(o.r, data); err != nil || string(data) != "begun" {
		t.Errorf("%q, %v", data, err)
	}
}

func TestLogsThatCantBeWatched(t *testing.T) {
	l := &tails{}
	w := start(t, tailing(l))
	w.run()
	p := problem(t, w.get("/jobs/id-3/logs/stdout"), http.StatusConflict)
	if !strings.Contains(p.Detail, "runner-a") || !strings.Contains(p.Detail, "not connected") {
		t.Error(p.Detail)
	}
	l.errs = []error{live.ErrTooManyWatchers}
	problem(t, w.get("/jobs/id-3/logs/stdout?follow=true"), http.StatusTooManyRequests)
	l.errs = []error{errors.New("secret")}
	if a := w.get("/jobs/id-3/logs/stdout"); a.status != 500 || strings.Contains(a.body, "secret") {
		t.Errorf("%+v", a)
	}
	none := start(t)
	none.run()
	problem(t, none.get("/jobs/id-3/logs/stdout"), http.StatusConflict)
}

// A client that leaves ends the watch.
func TestFollowerThatLeaves(t *testing.T) {
	l := &tails{}
	w := start(t, tailing(l))
	w.run()
	c := l.add()
	res, r := w.open("/jobs/id-3/logs/stdout?follow=true")
	c <- chunk("stdout", 0, "x")
	if b, err := r.ReadByte(); b != 'x' || err != nil {
		t.Fatalf("%c, %v", b, err)
	}
	res.Body.Close()
	w.srv.CloseClientConnections()
	w.srv.Close() // waits for the handler
}

// The end of the attempt and the typed client agree.
func TestClientFollowsLogs(t *testing.T) {
	l := &tails{}
	w := start(t, tailing(l))
	_, end := w.run()
	c := l.add()
	log, err := w.client().Logs(t.Context(), "id-3", api.LogQuery{Follow: true})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	go func() {
		c <- chunk("stdout", 0, "all of it")
		close(c)
		end()
	}()
	if data, err := io.ReadAll(log); string(data) != "all of it" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
}
