package engine_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/internal/runner/engine"
)

var entries = map[string]engine.Entry{
	"orbital": {Argv: []string{"/opt/orbit", "--fast"}, Image: "orbit-image"},
	"lander":  {Argv: []string{"/opt/lander"}},
}

func newEngines(t rapid.TB, fromStudy bool, entries map[string]engine.Entry, names ...string) []engine.Engine {
	t.Helper()
	engines, err := engine.New(names, engine.Options{Python: "/usr/bin/python3", Commands: entries, StudyCommands: fromStudy})
	if err != nil {
		t.Fatal(err)
	}
	return engines
}

// TestCommandEngine: where a command may come from, and what is said otherwise.
func TestCommandEngine(t *testing.T) {
	for name, c := range map[string]struct {
		job       engine.Job
		fromStudy bool
		entries   map[string]engine.Entry
		want      engine.Command
		invalid   string
	}{
		"the study's": {
			job: engine.Job{Type: "command", Command: []string{"sim", "$(id)", "{x}", "a b"}}, fromStudy: true,
			want: engine.Command{Argv: []string{"sim", "$(id)", "{x}", "a b"}, Origin: "simulation.command"},
		},
		"the study's wins over the runner's, in its image": {
			job: engine.Job{Type: "orbital", Command: []string{"sim"}}, fromStudy: true, entries: entries,
			want: engine.Command{Argv: []string{"sim"}, Image: "orbit-image", Origin: "simulation.command"},
		},
		"the runner's": {
			job: engine.Job{Type: "orbital"}, fromStudy: true, entries: entries,
			want: engine.Command{Argv: []string{"/opt/orbit", "--fast"}, Image: "orbit-image", Origin: "commands.orbital"},
		},
		"the runner's, in a process": {
			job: engine.Job{Type: "lander"}, entries: entries,
			want: engine.Command{Argv: []string{"/opt/lander"}, Origin: "commands.lander"},
		},
		"the study's, in a process": {
			job: engine.Job{Type: "lander", Command: []string{"rm", "-rf", "/"}}, entries: entries,
			invalid: "is not taken where jobs are programs of the runner's host (executor process); leave it out, and name one of the runner's own in simulation.type (it has lander, orbital)",
		},
		"the study's, in a process without commands": {
			job: engine.Job{Type: "command", Command: []string{"sim"}}, invalid: "ask the runner's owner for an entry in commands",
		},
		"none":               {job: engine.Job{Type: "command"}, fromStudy: true, entries: entries, invalid: "write simulation.command: [PROGRAM, ARGUMENT, …] in the study"},
		"none, in a process": {job: engine.Job{Type: "comand"}, entries: entries, invalid: `names no command for simulation type "comand"; name one of the runner's own in simulation.type (it has lander, orbital)`},
		"a file":             {job: engine.Job{Type: "orbital", Entrypoint: "x.py"}, fromStudy: true, entries: entries, invalid: "simulation.entrypoint names a file for engine basilisk"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := newEngines(t, c.fromStudy, c.entries, "command")[0].Command(c.job)
			if c.invalid != "" {
				var invalid *engine.InvalidError
				if !errors.As(err, &invalid) || !strings.Contains(err.Error(), c.invalid) {
					t.Fatalf("error %v, want an InvalidError with %q", err, c.invalid)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("command (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNoStudyChoosesAProgramOfTheHost: whatever a study asks for, where its own
// command is not taken, what runs is an entry of the runner's, unchanged.
func TestNoStudyChoosesAProgramOfTheHost(t *testing.T) {
	text := rapid.OneOf(rapid.SampledFrom([]string{"command", "lander", "orbital", "basilisk", ""}), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		job := engine.Job{
			Type: text.Draw(t, "type"), Entrypoint: rapid.OneOf(rapid.Just(""), rapid.String()).Draw(t, "entrypoint"),
			Command: rapid.SliceOfN(text, 0, 3).Draw(t, "command"),
		}
		engines := newEngines(t, false, entries, "command")
		got, err := engine.For(engines, job.Type).Command(job)
		if err == nil && !slices.Equal(got.Argv, entries[job.Type].Argv) {
			t.Fatalf("%+v runs %q", job, got.Argv)
		}
	})
}

// TestTheEntryIsNotTheCommand: what is made of an entry can be changed without
// changing the entry.
func TestTheEntryIsNotTheCommand(t *testing.T) {
	e := newEngines(t, false, entries, "command")[0]
	got, err := e.Command(engine.Job{Type: "lander"})
	if err != nil {
		t.Fatal(err)
	}
	got.Argv[0] = "other"
	if again, _ := e.Command(engine.Job{Type: "lander"}); again.Argv[0] != "/opt/lander" {
		t.Errorf("the entry became %q", again.Argv)
	}
}

// TestForCommand: a type that an engine launches goes there, any other to the
// first engine.
func TestForCommand(t *testing.T) {
	engines := newEngines(t, true, entries, "basilisk", "command")
	for simulationType, want := range map[string]string{
		"basilisk": "basilisk", "command": "command", "orbital": "command", "lander": "command", "other": "basilisk",
	} {
		if got := engine.For(engines, simulationType).Name(); got != want {
			t.Errorf("type %s is launched by %s, want %s", simulationType, got, want)
		}
	}
}

// TestBasiliskTakesNoCommand: its message names both ways out.
func TestBasiliskTakesNoCommand(t *testing.T) {
	_, err := newBasilisk(t, "scenario.py").Command(engine.Job{Type: "basilisk", Command: []string{"sim"}, HostWork: workTree(t), Work: "/lynx/work", Tmp: "/tmp"})
	var invalid *engine.InvalidError
	if !errors.As(err, &invalid) || !strings.Contains(err.Error(), "simulation.type: command") || !strings.Contains(err.Error(), "simulation.entrypoint") {
		t.Errorf("error %v", err)
	}
}
