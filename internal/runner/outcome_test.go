package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/engine"
	"github.com/tetryx/lynx-runner/internal/runner/watchdog"
)

// piece is one thing that speaks for an outcome. Pieces of one field cannot be
// in the same evidence.
type piece struct {
	name    string
	field   string
	outcome api.Outcome
	add     func(*evidence)
}

func causePiece(kind causeKind, outcome api.Outcome) piece {
	return piece{"cause " + kind.String(), "cause", outcome, func(e *evidence) { e.cause = cause{kind: kind, detail: "detail"} }}
}

func failurePiece(name string, err error, outcome api.Outcome) piece {
	return piece{name, "failure", outcome, func(e *evidence) { e.failure, e.exited = err, false }}
}

func exitPiece(name, field string, outcome api.Outcome, change func(*executor.Exit)) piece {
	return piece{name, field, outcome, func(e *evidence) { change(&e.exit) }}
}

// pieces is in the order of precedence: of two, the earlier decides.
var pieces = []piece{
	causePiece(causeLeaseLost, api.OutcomeLeaseLost),
	causePiece(causeCancel, api.OutcomeCancelled),
	{"breach", "verdict", api.OutcomeEarlyTermination, func(e *evidence) { e.verdict = &watchdog.Verdict{Kind: watchdog.Breach, Message: "too low"} }},
	{"invalid sample", "verdict", api.OutcomeTelemetryInvalid, func(e *evidence) { e.verdict = &watchdog.Verdict{Kind: watchdog.Invalid, Message: "NaN"} }},
	causePiece(causeTimeout, api.OutcomeTimeout),
	causePiece(causeOutputLimit, api.OutcomeOutputLimit),
	causePiece(causeShutdown, api.OutcomeInfrastructure),
	causePiece(causeVerdict, api.OutcomeInfrastructure),
	causePiece(causeEngineLost, api.OutcomeInfrastructure),
	failurePiece("no record of its end", &untoldError{errors.New("500")}, api.OutcomeInfrastructure),
	failurePiece("invalid job", fmt.Errorf("x: %w", &engine.InvalidError{Message: "no file"}), api.OutcomeInvalidJob),
	failurePiece("image", fmt.Errorf("x: %w", executor.ErrImage), api.OutcomeInvalidJob),
	failurePiece("specification", fmt.Errorf("x: %w", executor.ErrInvalidSpec), api.OutcomeInvalidJob),
	failurePiece("engine", fmt.Errorf("x: %w", executor.ErrUnavailable), api.OutcomeInfrastructure),
	failurePiece("anything else", errors.New("disk full"), api.OutcomeInfrastructure),
	exitPiece("not executed", "exec", api.OutcomeInvalidJob, func(x *executor.Exit) { x.ExecError = "no such file" }),
	exitPiece("deadline", "deadline", api.OutcomeTimeout, func(x *executor.Exit) { x.DeadlineKill = true }),
	exitPiece("main out of memory", "status", api.OutcomeOutOfMemory, func(x *executor.Exit) { x.Signal, x.Code, x.OOM.Killed = 9, 137, 1 }),
	exitPiece("shim out of memory", "status", api.OutcomeOutOfMemory, func(x *executor.Exit) { x.Known, x.OOM.Killed = false, 1 }),
	exitPiece("killed by another", "external", api.OutcomeInfrastructure, func(x *executor.Exit) { x.ExternalKill = true }),
	exitPiece("unknown", "status", api.OutcomeInfrastructure, func(x *executor.Exit) { x.Known = false }),
	exitPiece("file size", "status", api.OutcomeOutputLimit, func(x *executor.Exit) { x.Signal, x.Code = 25, 153 }),
	{"status 70 on a full disk", "status", api.OutcomeInfrastructure, func(e *evidence) { e.exit.Code, e.diskFull = 70, true }},
	{"SIGBUS on a full disk", "status", api.OutcomeInfrastructure, func(e *evidence) { e.exit.Signal, e.exit.Code, e.diskFull = 7, 135, true }},
	exitPiece("SIGKILL", "status", api.OutcomeSignaled, func(x *executor.Exit) { x.Signal, x.Code = 9, 137 }),
	exitPiece("SIGKILL, the engine's memory flag alone", "status", api.OutcomeSignaled, func(x *executor.Exit) { x.Signal, x.Code, x.OOM.Engine = 9, 137, true }),
	exitPiece("SIGSEGV", "status", api.OutcomeSignaled, func(x *executor.Exit) { x.Signal, x.Code = 11, 139 }),
	exitPiece("status 3", "status", api.OutcomeNonzeroExit, func(x *executor.Exit) { x.Code = 3 }),
	exitPiece("status 137 of a shell whose child was killed", "status", api.OutcomeNonzeroExit, func(x *executor.Exit) { x.Code, x.OOM.Killed = 137, 1 }),
	{"too much output", "files", api.OutcomeOutputLimit, func(e *evidence) { e.overLimit = "more than 2Gi" }},
	{"collection failed", "incomplete", api.OutcomeInfrastructure, func(e *evidence) { e.incomplete = errors.New("I/O error") }},
	{"nothing", "nothing", api.OutcomeCompleted, func(*evidence) {}},
	exitPiece("child out of memory", "status", api.OutcomeCompleted, func(x *executor.Exit) { x.OOM.Killed = 2 }),
}

func newEvidence(list ...piece) evidence {
	e := evidence{exit: executor.Exit{Known: true}, exited: true, timeout: time.Hour, program: "python_executable (/usr/bin/python3) must be a program in the image.", image: "lynx-basilisk", fileLimit: 1 << 30}
	// Exit first, so that a failure, which means that there is none, has the
	// last word.
	for i := len(list) - 1; i >= 0; i-- {
		list[i].add(&e)
	}
	return e
}

func check(t interface {
	Helper()
	Errorf(string, ...any)
}, what string, e evidence, want api.Outcome) {
	t.Helper()
	got, message := classify(e)
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
	if (message == "") != (got == api.OutcomeCompleted) || strings.Contains(message, "\n") {
		t.Errorf("%s: message %q", what, message)
	}
}

// Each piece alone, and each pair: the one of higher precedence decides.
func TestClassify(t *testing.T) {
	for i, a := range pieces {
		check(t, a.name, newEvidence(a), a.outcome)
		for _, b := range pieces[i+1:] {
			if a.field != b.field {
				check(t, a.name+" with "+b.name, newEvidence(a, b), a.outcome)
			}
		}
	}
}

// What a hard stop kept the runner from taking makes an attempt that ran one to run
// again, and decides nothing of others.
func TestClassifyCutShort(t *testing.T) {
	for _, p := range pieces {
		want := p.outcome
		switch want {
		case api.OutcomeLeaseLost, api.OutcomeCancelled, api.OutcomeInvalidJob:
		default:
			want = api.OutcomeInfrastructure
		}
		e := newEvidence(p)
		e.incomplete, e.shutdown = context.Canceled, true
		check(t, p.name, e, want)
		_, before := classify(newEvidence(p))
		if _, message := classify(e); p.outcome == want && p.field != "incomplete" && message != before {
			t.Errorf("%s: %q, without a stop %q", p.name, message, before)
		}
	}
}

// In any set of pieces the first decides.
func TestClassifyAnySet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fields := map[string]bool{}
		var list []piece
		for _, p := range pieces {
			if !fields[p.field] && rapid.Bool().Draw(t, p.name) {
				fields[p.field] = true
				list = append(list, p)
			}
		}
		want := api.OutcomeCompleted
		if len(list) > 0 {
			want = list[0].outcome
		}
		check(t, fmt.Sprint(len(list), " pieces"), newEvidence(list...), want)
	})
}

// A full disk alone takes nothing from a job that completed.
func TestCompletedOnAFullDisk(t *testing.T) {
	e := newEvidence()
	e.diskFull = true
	check(t, "full disk", e, api.OutcomeCompleted)
}

func TestNothingIsKnown(t *testing.T) {
	check(t, "no exit", evidence{}, api.OutcomeInfrastructure)
}

// Messages tell a person what to do.
func TestMessages(t *testing.T) {
	for name, want := range map[string]string{
		"cause timeout":      "time limit of 1h0m0s and was killed; raise compute.job_timeout_seconds",
		"invalid job":        "no file",
		"image":              `Build or pull the image "lynx-basilisk"`,
		"not executed":       "python_executable (/usr/bin/python3) must be a program in the image",
		"main out of memory": "compute.container.memory_request",
		"file size":          "more than 1Gi in one file",
		"too much output":    "sandbox.output",
		"SIGSEGV":            "signal 11 (SIGSEGV). It wrote nothing to stderr.",
	} {
		found := false
		for _, p := range pieces {
			if p.name != name {
				continue
			}
			found = true
			if _, message := classify(newEvidence(p)); !strings.Contains(message, want) {
				t.Errorf("%s: %q, want %q in it", name, message, want)
			}
		}
		if !found {
			t.Errorf("no piece %q", name)
		}
	}
}

func TestLastLine(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"\n\n  \n":                       "",
		"one":                            "one",
		"one\ntwo\n\n":                   "two",
		"progress\rdone\r":               "done",
		"\x1b[31mred\x1b[0m\n":           `\x1b[31mred\x1b[0m`,
		"tab\tnul\x00end":                `tab nul\x00end`,
		"\xff\xfe":                       "?",
		"Größe\u202e!":                   `Größe\xe2\x80\xae!`,
		strings.Repeat("x", 1000):        strings.Repeat("x", maxLine) + "…",
		"a\n" + strings.Repeat("é", 400): strings.Repeat("é", maxLine/2) + "…",
	} {
		if got := lastLineIn([]byte(text)); got != want {
			t.Errorf("last line of %.40q is %q, want %q", text, got, want)
		}
	}
}

// A message never holds what a terminal would act upon.
func TestPrintable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, r := range printable(string(rapid.SliceOf(rapid.Byte()).Draw(t, "text"))) {
			if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
				t.Fatalf("%U survives", r)
			}
		}
	})
}
