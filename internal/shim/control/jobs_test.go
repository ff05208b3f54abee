package control

import (
	"errors"
	"os"
	"testing"

	"github.com/tetryx/lynx-runner/internal/shim"
)

// A fork server's shim is told to run a job, and what it says comes in order; the
// end of its connection is told.
func TestJobs(t *testing.T) {
	s, path := listen(t)
	if err := s.Job(); !errors.Is(err, ErrNotConnected) {
		t.Errorf("a job without a shim: %v", err)
	}
	s.Expect(os.Getpid())
	p := dial(t, path)
	p.say(hello, started)
	wait(t, "started", s.Started())
	must(t, s.Job())
	p.expect(shim.MessageJob)
	report := shim.JobReport{Exit: shim.ExitReport{Code: 3}, Odd: "a process was left"}
	p.say(shim.Message{Type: shim.MessageJobStarted}, shim.Message{Type: shim.MessageJobEnded, Job: &report})
	if m := <-s.Jobs(); m.Type != shim.MessageJobStarted {
		t.Errorf("message %+v", m)
	}
	if m := <-s.Jobs(); m.Job == nil || *m.Job != report {
		t.Errorf("message %+v", m)
	}
	notYet(t, "the loss", s.Lost())
	must(t, p.conn.Close())
	wait(t, "the loss", s.Lost())
}

// A job's end without a report is no message, and breaks the connection; more news
// than there are jobs end the trust in it too.
func TestJobsGarbage(t *testing.T) {
	for name, messages := range map[string][]shim.Message{
		"no report":  {{Type: shim.MessageJobEnded}},
		"impossible": {{Type: shim.MessageJobEnded, Job: &shim.JobReport{Exit: shim.ExitReport{Code: 256}}}},
		"flood": {
			{Type: shim.MessageJobStarted}, {Type: shim.MessageJobStarted}, {Type: shim.MessageJobStarted},
			{Type: shim.MessageJobStarted}, {Type: shim.MessageJobStarted},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, path := listen(t)
			s.Expect(os.Getpid())
			p := dial(t, path)
			p.say(hello)
			p.say(messages...)
			wait(t, "the loss", s.Lost())
		})
	}
}
