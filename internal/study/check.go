package study

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tetryx/lynx-runner/internal/strictyaml"
)

// The bounds of texts and times in a study.
const (
	maxName           = 128
	maxDescription    = 2000
	maxVersion        = 64
	maxPath           = 255
	maxImage          = 512
	maxTimeoutSeconds = 30 * 24 * 3600
	defaultType       = "basilisk"
	commandType       = "command"
)

var (
	parameterName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,63}$`)
	simulationType = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,63}$`)
	imageReference = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@-]*$`)
)

// checker finds what types can't say, in a decoded request, and fills in the
// defaults. What was already reported in decoding isn't reported again.
type checker struct {
	doc *strictyaml.Document
	// config is the path of the config part: "config", or "" if it is all.
	config string
}

// at is the path of a key of the config part.
func (c checker) at(keys ...string) string {
	p := c.config
	for _, key := range keys {
		p = strictyaml.Join(p, key)
	}
	return p
}

// problem reports a non-empty problem.
func (c checker) problem(path, problem string) {
	if problem != "" {
		c.doc.Errorf(path, "%s", problem)
	}
}

// text checks a text that is present.
func (c checker) text(path, text string, least, most int) {
	if c.doc.Has(path) {
		c.problem(path, checkText(text, least, most))
	}
}

// within checks a number that is present.
func within[N int | int64 | uint64](c checker, path string, got, least, most N) {
	if c.doc.Has(path) && (got < least || got > most) {
		c.problem(path, outOfRange(got, least, most))
	}
}

// positive checks a number that may be nil.
func (c checker) positive(path string, x *float64) {
	if x != nil && *x <= 0 {
		c.doc.Errorf(path, "%s is not positive; want more than 0", show(*x))
	}
}

func (c checker) request(r *Request) {
	c.simulation(&r.Config.Simulation)
	c.name(r)
	c.monteCarlo(r)
	c.dispersions(r.Config.Dispersions)
	c.compute(&r.Config.Compute)
	c.earlyTermination(&r.Config.EarlyTermination)
	c.telemetry(&r.Config.Telemetry)
}

// name checks the batch's name and fills it in from the simulation's.
func (c checker) name(r *Request) {
	simulation := c.at("simulation", "name")
	switch {
	case c.config != "" && c.doc.Has("name"):
		c.text("name", r.Name, 1, maxName)
	case c.doc.Has(simulation):
		r.Name = r.Config.Simulation.Name
	case c.config != "":
		c.doc.Errorf("name", "is missing; give the batch a name (or the simulation one, in %s)", simulation)
	default:
		c.doc.Errorf(simulation, "is missing; the batch is named after the simulation")
	}
}

func (c checker) simulation(s *Simulation) {
	at := func(key string) string { return c.at("simulation", key) }
	c.text(at("name"), s.Name, 1, maxName)
	c.text(at("version"), s.Version, 0, maxVersion)
	c.positive(at("duration_minutes"), s.DurationMinutes)
	switch {
	case !c.doc.Has(at("type")) && c.doc.Has(at("command")):
		s.Type = commandType
	case !c.doc.Has(at("type")):
		s.Type = defaultType
	case !simulationType.MatchString(s.Type):
		c.doc.Errorf(at("type"), "%q is no simulation type; want lower-case letters, digits, _ and -, a letter first, at most 64", s.Type)
	}
	if c.doc.Has(at("entrypoint")) {
		c.problem(at("entrypoint"), checkEntrypoint(s.Entrypoint))
		s.Entrypoint = path.Clean(s.Entrypoint)
	}
	if c.doc.Has(at("command")) {
		c.command(at("command"), s.Command)
	}
}

// checkEntrypoint says what is wrong with a path that has to stay below the
// runner's working directory, or "".
func checkEntrypoint(p string) string {
	switch {
	case checkText(p, 1, maxPath) != "":
		return checkText(p, 1, maxPath)
	case strings.HasPrefix(p, "/"):
		return fmt.Sprintf("%q is absolute; want a path relative to the runner's working directory", p)
	case slices.Contains(strings.Split(p, "/"), ".."):
		return fmt.Sprintf("%q contains ..; want a path below the runner's working directory", p)
	case strings.Contains(p, `\`):
		return fmt.Sprintf("%q contains a backslash; separate directories by /", p)
	case strings.HasPrefix(p, "-"):
		return fmt.Sprintf("%q begins with a hyphen, like an option; want a path", p)
	case path.Clean(p) == "." || strings.HasSuffix(p, "/"):
		return fmt.Sprintf("%q is a directory; want a file", p)
	}
	return ""
}

func (c checker) monteCarlo(r *Request) {
	m := &r.Config.MonteCarlo
	at := func(key string) string { return c.at("monte_carlo", key) }
	runs, override := at("runs"), "runs_override"
	parameters := len(r.Config.Dispersions)
	switch {
	case c.doc.Has(runs):
		c.problem(runs, checkSize(m.Runs, parameters))
	case r.RunsOverride == nil:
		c.doc.Errorf(runs, "is missing; want the number of runs, 1 to %d", MaxRuns)
	}
	if r.RunsOverride != nil {
		c.problem(override, checkSize(*r.RunsOverride, parameters))
	}
	if m.Seed != nil {
		within(c, at("seed"), *m.Seed, 0, MaxSeed)
	}
	method := at("sampling_method")
	if !c.doc.Has(method) {
		m.SamplingMethod = LatinHypercube
	} else if methods[m.SamplingMethod] == nil {
		c.doc.Errorf(method, "unknown sampling method %q%s", m.SamplingMethod, suggest(string(m.SamplingMethod), methodNames()))
	}
}

func (c checker) dispersions(dispersions map[string]Dispersion) {
	if len(dispersions) > MaxParameters {
		c.doc.Errorf(c.at("dispersions"), "%d parameters are too many; want at most %d", len(dispersions), MaxParameters)
	}
	for _, name := range slices.Sorted(maps.Keys(dispersions)) {
		if !parameterName.MatchString(name) {
			c.doc.Errorf(c.at("dispersions", name), "%q is no parameter name; want letters, digits, _, . and -, a letter or _ first, at most 64", name)
		}
	}
}

func (c checker) compute(p *Compute) {
	at := func(key string) string { return c.at("compute", key) }
	within(c, at("max_parallel_jobs"), p.MaxParallelJobs, 1, MaxRuns)
	within(c, at("job_timeout_seconds"), p.JobTimeoutSeconds, 1, maxTimeoutSeconds)
	within(c, at("max_retries"), p.MaxRetries, 0, MaxRetries)
	if c.doc.Has(at("isolation")) && p.Isolation != IsolationJob && p.Isolation != IsolationBatch {
		c.doc.Errorf(at("isolation"), "%q is no isolation; want %s (each job has a container of its own) or %s (the jobs of the batch share them, one after another)", p.Isolation, IsolationJob, IsolationBatch)
	}
	c.container(&p.Container)
}

func (c checker) container(k *Container) {
	at := func(key string) string { return c.at("compute", "container", key) }
	if image := at("image"); c.doc.Has(image) && (len(k.Image) > maxImage || !imageReference.MatchString(k.Image)) {
		c.doc.Errorf(image, "%q is no image reference; want one such as registry.example.org/team/simulation:1.2", k.Image)
	}
	if c.doc.Has(at("cpu_request")) {
		q := k.CPURequest.parsed()
		if millis := q.MilliValue(); millis < minCPUMillis || millis > maxCPUMillis || q.CmpInt64(0) <= 0 {
			c.doc.Errorf(at("cpu_request"), "%q is out of range; want 1m (a thousandth of a core) to %d cores", k.CPURequest, maxCPUMillis/1000)
		}
	}
	if c.doc.Has(at("memory_request")) {
		if bytes := k.MemoryBytes(); bytes < minMemoryBytes || bytes > maxMemoryBytes {
			c.doc.Errorf(at("memory_request"), "%q is out of range; want 6Mi to 1Pi (Mi is mebibytes; m is thousandths of a byte)", k.MemoryRequest)
		}
	}
	if c.doc.Has(at("gpu_request")) {
		q := k.GPURequest.parsed()
		if gpus := q.Value(); q.CmpInt64(gpus) != 0 || gpus > maxGPUs {
			c.doc.Errorf(at("gpu_request"), "%q is no number of GPUs; want a whole number, 0 to %d", k.GPURequest, maxGPUs)
		}
	}
}

func (c checker) earlyTermination(e *EarlyTermination) {
	at := func(key string) string { return c.at("early_termination", key) }
	c.positive(at("check_frequency_hz"), e.CheckFrequencyHz)
	if len(e.Conditions) > 0 && !c.doc.Has(at("enabled")) {
		c.doc.Errorf(at("enabled"), "is missing; write true to apply the conditions, or false to keep them inactive")
	}
	first := map[string]int{}
	for i := range e.Conditions {
		here := strictyaml.Index(at("conditions"), i)
		c.condition(here, &e.Conditions[i])
		name := e.Conditions[i].Name
		if before, taken := first[name]; taken && name != "" {
			c.doc.Errorf(strictyaml.Join(here, "name"), "%q is also the name of conditions[%d]; names of conditions are unique", name, before)
		} else {
			first[name] = i
		}
	}
}

func (c checker) condition(here string, k *Condition) {
	at := func(key string) string { return strictyaml.Join(here, key) }
	c.text(at("name"), k.Name, 1, maxName)
	c.text(at("variable"), k.Variable, 1, maxName)
	if n := utf8.RuneCountInString(k.Description); n > maxDescription {
		c.doc.Errorf(at("description"), "has %d characters; want at most %d", n, maxDescription)
	}
	if !k.Operator.Valid() {
		c.doc.Errorf(at("operator"), "unknown operator %q%s", k.Operator, suggestOperator(string(k.Operator)))
	}
}

// suggestOperator knows other notations of the operators beside misspellings.
func suggestOperator(name string) string {
	meant, ok := map[string]Operator{
		"<": LT, "<=": LTE, "≤": LTE, "le": LTE, ">": GT, ">=": GTE, "≥": GTE, "ge": GTE,
		"=": EQ, "==": EQ, "!=": NEQ, "<>": NEQ, "≠": NEQ, "ne": NEQ,
	}[name]
	if ok {
		return fmt.Sprintf("; did you mean %q?", string(meant))
	}
	var names nameList
	for _, o := range Operators() {
		names = append(names, string(o))
	}
	return suggest(name, names)
}

func (c checker) telemetry(t *Telemetry) {
	at := func(key string) string { return c.at("telemetry", key) }
	c.positive(at("sampling_rate_hz"), t.SamplingRateHz)
	c.positive(at("buffer_flush_interval_seconds"), t.BufferFlushIntervalSeconds)
	storage := func(key string) string { return strictyaml.Join(at("storage"), key) }
	c.text(storage("s3_bucket"), t.Storage.S3Bucket, 0, maxPath)
	c.text(storage("s3_prefix"), t.Storage.S3Prefix, 0, maxPath)
	c.text(storage("compression"), t.Storage.Compression, 0, maxName)
}

// checkText says what is wrong with a text that is shown on one line, or "":
// control characters, blanks at its ends, its length in characters.
func checkText(text string, least, most int) string {
	n := utf8.RuneCountInString(text)
	switch {
	case n < least:
		return fmt.Sprintf("is empty; want %d to %d characters", least, most)
	case n > most:
		return fmt.Sprintf("has %d characters; want at most %d", n, most)
	case strings.TrimSpace(text) != text:
		return fmt.Sprintf("%q begins or ends with a blank", text)
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
		r, _ := utf8.DecodeRuneInString(text[i:])
		return fmt.Sprintf("%q contains the unprintable character U+%04X", text, r)
	}
	return ""
}
