package rest_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tetryx/lynx-runner/internal/platform/auth"
	"github.com/tetryx/lynx-runner/internal/platform/live"
	"github.com/tetryx/lynx-runner/internal/platform/rest"
)

// hasty is a server over the world's platform whose limits for whole requests
// pass at once. It returns how it is stopped.
func (w *world) hasty(limit time.Duration, l *tails) (stop func()) {
	w.t.Helper()
	guard, err := auth.NewGuard(token)
	if err != nil {
		w.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	srv := rest.NewServer(rest.New(w.svc, rest.Options{Guard: guard, Log: log, Live: l, Heartbeat: time.Millisecond}), log)
	srv.ReadTimeout, srv.WriteTimeout = limit, limit
	run, cancel := context.WithCancel(context.Background())
	srv.BaseContext = func(net.Listener) context.Context { return run }
	w.srv.Config = srv
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- srv.Serve(listener) }()
	w.srv.URL = "http://" + listener.Addr().String()
	w.t.Cleanup(func() {
		cancel()
		_ = srv.Close()
		<-done
	})
	return cancel
}

// A stream goes on for longer than an answer that is made at once may take, and
// ends when the platform stops.
func TestStreamsOutliveTheServersLimits(t *testing.T) {
	const limit = 300 * time.Millisecond
	l := &tails{}
	w := start(t)
	w.run()
	stop := w.hasty(limit, l)
	c := l.add()
	_, log := w.open("/jobs/id-3/logs/stdout?follow=true")
	_, events := w.open("/events")
	for began := time.Now(); time.Since(began) < 2*limit; {
		if _, err := events.ReadString('\n'); err != nil {
			t.Fatalf("events ended after %v: %v", time.Since(began), err)
		}
	}
	c <- chunk("stdout", 0, "late")
	data := make([]byte, 4)
	if _, err := io.ReadFull(log, data); err != nil || string(data) != "late" {
		t.Fatalf("log: %q, %v", data, err)
	}
	stop()
	if _, err := io.ReadAll(events); err != nil {
		t.Errorf("events broke off: %v", err)
	}
	if _, err := io.ReadAll(log); err == nil {
		t.Error("a log that is not complete ended as if it were")
	}
}

// A client that reads nothing of a running attempt's output holds up nobody: its
// watch is not taken from, which the hub is made for, and ends with the client.
func TestClientThatReadsNothing(t *testing.T) {
	l := &tails{}
	w := start(t, tailing(l))
	w.run()
	c := l.add()
	res, _ := w.open("/jobs/id-3/telemetry/live")
	chunk := live.TelemetryChunk{Samples: samples(make([]float64, 5000)...).Samples}
	for stuck := false; !stuck; {
		select {
		case c <- chunk:
		case <-time.After(100 * time.Millisecond): // the connection is full
			stuck = true
		}
	}
	if a := w.get("/jobs/id-3"); a.status != http.StatusOK || !strings.Contains(a.body, "Running") {
		t.Errorf("%d %s", a.status, a.body)
	}
	res.Body.Close()
}
