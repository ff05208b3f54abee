package rpc

import (
	"fmt"
	"math"
	"regexp"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tetryx/lynx-runner/internal/platform"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// The bounds of messages, in bytes for texts. Each is above what a study may
// contain and a runner that works sends: a name of 128 characters may have 512
// bytes.
const (
	maxID       = 128
	maxName     = 1024
	maxSentence = 16 << 10
	maxPath     = 4096

	maxSlots = 100_000
	maxTypes = 64
	maxHeld  = 100_000
)

// identifier is the form of ids that people choose: safe as a file name, in a
// URL and on a terminal.
var identifier = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

func bad(field, format string, args ...any) error {
	return &platform.InvalidError{Field: field, Message: fmt.Sprintf(format, args...)}
}

func checkRegister(m *runnerv1.RegisterRequest) error {
	if err := checkIdentifier("runner_id", m.GetRunnerId()); err != nil {
		return err
	}
	if err := checkIdentifier("installation_id", m.GetInstallationId()); err != nil {
		return err
	}
	if err := checkText("version", m.GetVersion(), maxName); err != nil {
		return err
	}
	if err := checkText("hostname", m.GetHostname(), maxName); err != nil {
		return err
	}
	if e := m.GetExecutor(); e != "docker" && e != "process" {
		return bad("executor", "%q; it must be docker or process", e)
	}
	return checkCapabilities(m.GetCapabilities())
}

func checkCapabilities(c *runnerv1.Capabilities) error {
	if c == nil {
		return bad("capabilities", "missing")
	}
	if n := c.GetMaxConcurrentJobs(); n < 1 || n > maxSlots {
		return bad("capabilities.max_concurrent_jobs", "%d; it must be 1 to %d", n, maxSlots)
	}
	if err := checkAmount("capabilities.cpu_cores", c.GetCpuCores()); err != nil {
		return err
	}
	if err := checkAmount("capabilities.memory_gb", c.GetMemoryGb()); err != nil {
		return err
	}
	if n := c.GetGpus(); n > maxSlots {
		return bad("capabilities.gpus", "%d; at most %d", n, maxSlots)
	}
	if n := c.GetDefaultCpuMillis(); n < 0 {
		return bad("capabilities.default_cpu_millis", "%d; it must not be below 0", n)
	}
	if n := c.GetDefaultMemoryBytes(); n < 0 {
		return bad("capabilities.default_memory_bytes", "%d; it must not be below 0", n)
	}
	types := c.GetSupportedSimulationTypes()
	if len(types) < 1 || len(types) > maxTypes {
		return bad("capabilities.supported_simulation_types", "%d entries; there must be 1 to %d", len(types), maxTypes)
	}
	for i, t := range types {
		if err := checkIdentifier(fmt.Sprintf("capabilities.supported_simulation_types[%d]", i), t); err != nil {
			return err
		}
	}
	return nil
}

func checkClaim(m *runnerv1.ClaimJobsRequest) error {
	if err := checkSession(m.GetSessionId()); err != nil {
		return err
	}
	if m.GetMaxJobs() < 1 {
		return bad("max_jobs", "0; ask for 1 or more")
	}
	if m.GetWait() == nil {
		return nil
	}
	if err := m.GetWait().CheckValid(); err != nil || m.GetWait().AsDuration() < 0 {
		return bad("wait", "%v is not a time to wait", m.GetWait())
	}
	return nil
}

func checkHeartbeat(m *runnerv1.HeartbeatRequest) error {
	if err := checkSession(m.GetSessionId()); err != nil {
		return err
	}
	if err := checkText("paused", m.GetPaused(), maxSentence); err != nil {
		return err
	}
	return checkHeld(m.GetHeld())
}

func checkLeave(m *runnerv1.LeaveRequest) error {
	if err := checkSession(m.GetSessionId()); err != nil {
		return err
	}
	return checkHeld(m.GetHeld())
}

func checkHeld(held []*runnerv1.AttemptRef) error {
	if n := len(held); n > maxHeld {
		return bad("held", "%d attempts; at most %d", n, maxHeld)
	}
	for i, ref := range held {
		if err := checkAttempt(fmt.Sprintf("held[%d]", i), ref); err != nil {
			return err
		}
	}
	return nil
}

func checkStarted(m *runnerv1.ReportStartedRequest) error {
	if err := checkSession(m.GetSessionId()); err != nil {
		return err
	}
	if err := checkAttempt("attempt", m.GetAttempt()); err != nil {
		return err
	}
	if m.GetStartedAt() == nil {
		return bad("started_at", "missing")
	}
	return checkTime("started_at", m.GetStartedAt())
}

func checkReport(m *runnerv1.ReportResultRequest) error {
	if err := checkSession(m.GetSessionId()); err != nil {
		return err
	}
	if err := checkAttempt("attempt", m.GetAttempt()); err != nil {
		return err
	}
	if m.GetResult() == nil {
		return bad("result", "missing")
	}
	return checkResult(m.GetResult())
}

// checkSession only refuses what no platform ever gave out. An unknown session is
// the service's to find.
func checkSession(id string) error {
	if id == "" {
		return bad("session_id", "missing; register first")
	}
	return checkText("session_id", id, maxID)
}

func checkAttempt(field string, ref *runnerv1.AttemptRef) error {
	if ref.GetToken() == nil {
		return bad(field+".token", "missing")
	}
	if err := checkText(field+".attempt_id", ref.GetAttemptId(), maxID); err != nil {
		return err
	}
	if _, _, err := platform.ParseAttemptID(ref.GetAttemptId()); err != nil {
		return bad(field+".attempt_id", "%q is not of the form JOB_ID-NUMBER", ref.GetAttemptId())
	}
	return nil
}

func checkIdentifier(field, s string) error {
	if len(s) > maxID || !identifier.MatchString(s) {
		return bad(field, "%.*q; it must be 1 to %d characters of A-Z a-z 0-9 _ . -, not beginning with . or -", maxID, s, maxID)
	}
	return nil
}

func checkText(field, s string, most int) error {
	if len(s) > most {
		return bad(field, "%d bytes; at most %d", len(s), most)
	}
	return nil
}

func checkTime(field string, t *timestamppb.Timestamp) error {
	if t == nil {
		return nil
	}
	if err := t.CheckValid(); err != nil {
		return bad(field, "not a time: %v", err)
	}
	return nil
}

// checkFinite refuses NaN and the infinities.
func checkFinite(field string, x float64) error {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return bad(field, "%v; it must be a finite number", x)
	}
	return nil
}

// checkAmount refuses what is not finite or below 0.
func checkAmount(field string, x float64) error {
	if err := checkFinite(field, x); err != nil {
		return err
	}
	if x < 0 {
		return bad(field, "%v; it must not be below 0", x)
	}
	return nil
}
