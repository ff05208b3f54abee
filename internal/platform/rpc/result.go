package rpc

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"regexp"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// The bounds of a result.
const (
	maxArtifacts   = 100_000
	maxVariables   = 10_000
	maxMetrics     = 200
	maxMetricName  = 64
	maxWarnings    = 1000
	maxOutcomeName = 64
	// maxShown is how much of a bad value an error repeats.
	maxShown = 200
)

var (
	outcomeName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	metricName  = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	sha256Hex   = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// checkResult checks everything that is bounded or has a form. An outcome that
// this version does not know is well-formed: newer runners may send one.
func checkResult(r *runnerv1.Result) error {
	if o := r.GetOutcome(); len(o) > maxOutcomeName || !outcomeName.MatchString(o) {
		return bad("result.outcome", "%.*q is no outcome", maxOutcomeName, o)
	}
	return cmp.Or(
		checkTime("result.started_at", r.GetStartedAt()),
		checkTime("result.ended_at", r.GetEndedAt()),
		checkText("result.error_message", r.GetErrorMessage(), maxSentence),
		checkText("result.image_id", r.GetImageId(), maxName),
		checkText("result.code_digest", r.GetCodeDigest(), maxName),
		checkDirectory(r.GetDirectory()),
		checkUsage(r.GetUsage()),
		checkBreach(r.GetBreach()),
		checkTelemetry(r.GetTelemetry()),
		checkArtifacts(r.GetArtifacts()),
		checkMetrics(r.GetMetrics()),
		checkWarnings(r.GetWarnings()),
	)
}

// checkDirectory lets an empty one through: an attempt may end before it has one.
func checkDirectory(dir string) error {
	if dir == "" {
		return nil
	}
	if err := checkText("result.directory", dir, maxPath); err != nil {
		return err
	}
	if !path.IsAbs(dir) || path.Clean(dir) != dir {
		return bad("result.directory", "%q is not a clean absolute path", dir)
	}
	return nil
}

func checkUsage(u *runnerv1.Usage) error {
	if n := u.GetPeakMemoryBytes(); n < 0 {
		return bad("result.usage.peak_memory_bytes", "%d; it must not be below 0", n)
	}
	return cmp.Or(
		checkAmount("result.usage.wall_seconds", u.GetWallSeconds()),
		checkAmount("result.usage.cpu_seconds", u.GetCpuSeconds()),
	)
}

func checkBreach(b *runnerv1.Breach) error {
	if b == nil {
		return nil
	}
	c := b.GetCondition()
	if c == nil {
		return bad("result.breach.condition", "missing")
	}
	return cmp.Or(
		checkText("result.breach.condition.name", c.GetName(), maxName),
		checkText("result.breach.condition.description", c.GetDescription(), maxSentence),
		checkText("result.breach.condition.variable", c.GetVariable(), maxName),
		checkText("result.breach.condition.operator", c.GetOperator(), maxName),
		checkText("result.breach.condition.units", c.GetUnits(), maxName),
		checkFinite("result.breach.condition.threshold", c.GetThreshold()),
		checkFinite("result.breach.value", b.GetValue()),
		checkFinite("result.breach.time_seconds", b.GetTimeSeconds()),
		checkTime("result.breach.received_at", b.GetReceivedAt()),
		checkAmount("result.breach.kill_milliseconds", b.GetKillMilliseconds()),
	)
}

// checkTelemetry does not ask for finite numbers: min, max and last say what the
// job sent, and a job may send NaN in a variable that no condition watches.
func checkTelemetry(t *runnerv1.TelemetrySummary) error {
	if n := len(t.GetVariables()); n > maxVariables {
		return bad("result.telemetry.variables", "%d; at most %d", n, maxVariables)
	}
	seen := make(map[string]bool, len(t.GetVariables()))
	for i, v := range t.GetVariables() {
		field := fmt.Sprintf("result.telemetry.variables[%d]", i)
		if v.GetName() == "" || seen[v.GetName()] {
			return bad(field+".name", "%q is empty or there twice", v.GetName())
		}
		seen[v.GetName()] = true
		err := cmp.Or(checkText(field+".name", v.GetName(), maxName), checkText(field+".unit", v.GetUnit(), maxName))
		if err != nil {
			return err
		}
	}
	return nil
}

func checkArtifacts(list []*runnerv1.Artifact) error {
	if n := len(list); n > maxArtifacts {
		return bad("result.artifacts", "%d; at most %d", n, maxArtifacts)
	}
	for i, a := range list {
		field := fmt.Sprintf("result.artifacts[%d]", i)
		switch {
		case len(a.GetName()) > maxPath || a.GetName() == "." || !fs.ValidPath(a.GetName()):
			return bad(field+".name", "%.*q is not a clean path below the output directory", maxShown, a.GetName())
		case a.GetSize() < 0:
			return bad(field+".size", "%d; it must not be below 0", a.GetSize())
		case !sha256Hex.MatchString(a.GetSha256()):
			return bad(field+".sha256", "%.*q is not 64 lower-case hexadecimal digits", maxShown, a.GetSha256())
		}
	}
	return nil
}

func checkMetrics(metrics map[string]float64) error {
	if n := len(metrics); n > maxMetrics {
		return bad("result.metrics", "%d; at most %d", n, maxMetrics)
	}
	for name, x := range metrics {
		if len(name) > maxMetricName || !metricName.MatchString(name) {
			return bad("result.metrics", "name %.*q; it must be 1 to %d characters of A-Z a-z 0-9 _ . -",
				maxShown, name, maxMetricName)
		}
		if err := checkFinite("result.metrics."+name, x); err != nil {
			return err
		}
	}
	return nil
}

func checkWarnings(warnings []string) error {
	if n := len(warnings); n > maxWarnings {
		return bad("result.warnings", "%d; at most %d", n, maxWarnings)
	}
	for i, w := range warnings {
		if err := checkText(fmt.Sprintf("result.warnings[%d]", i), w, maxSentence); err != nil {
			return err
		}
	}
	return nil
}
