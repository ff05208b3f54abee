package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/runner/engine"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// Level says how a check came out.
type Level string

// The levels of findings.
const (
	LevelOK      Level = "ok"
	LevelWarning Level = "warning"
	// LevelFailed means that jobs can't run like this.
	LevelFailed Level = "failed"
	// LevelSkipped means that nothing can be said, because of an earlier failure.
	LevelSkipped Level = "skipped"
)

// Finding is what one check found.
type Finding struct {
	// Subject is what was checked, in a word or two.
	Subject string `json:"subject"`
	Level   Level  `json:"level"`
	// Detail is what is so, or what is wrong and what to do.
	Detail string `json:"detail"`
}

// CheckDeps is what a check works with.
type CheckDeps struct {
	// Connect connects to the engine, whose executor the check closes.
	Connect func(context.Context) (*Engine, error)
	// Platform is the platform's client.
	Platform runnerv1.RunnerServiceClient
}

// Checked is the outcome of a check.
type Checked struct {
	Findings []Finding `json:"findings"`
	// Unreachable says that the engine does not answer.
	Unreachable bool `json:"unreachable"`
}

// OK reports whether jobs can run.
func (c *Checked) OK() bool {
	for _, f := range c.Findings {
		if f.Level == LevelFailed {
			return false
		}
	}
	return true
}

// Check proves that a runner with this configuration could run a job, without
// taking the place of a runner: it looks at what a start needs and lets the
// executor run jobs of its own, which look around and go against their limits, and
// of which nothing stays. Only a runner's directories are made, if they are not
// there.
func Check(ctx context.Context, cfg *config.Config, deps CheckDeps) *Checked {
	c := &checker{cfg: cfg, deps: deps, out: &Checked{}}
	c.container("/")
	c.directories()
	c.disk()
	user := c.users()
	if user != nil {
		defer user.close()
	}
	c.shim()
	scenario := c.scenario()
	c.relaxed()
	if exec := c.engine(ctx); exec != nil {
		if image := c.images(ctx, exec); c.out.OK() {
			c.job(ctx, exec, image, scenario, user.all[0])
		} else {
			c.add("job", LevelSkipped, "not tried, because of the above")
		}
		if err := exec.Close(); err != nil {
			c.add(c.executorSubject(), LevelWarning, "%v", err)
		}
	}
	c.platform(ctx)
	return c.out
}

type checker struct {
	cfg  *config.Config
	deps CheckDeps
	out  *Checked
}

func (c *checker) add(subject string, level Level, format string, args ...any) {
	c.out.Findings = append(c.out.Findings, Finding{Subject: subject, Level: level, Detail: fmt.Sprintf(format, args...)})
}

// scenario checks the commands, the working directory and the default scenario.
func (c *checker) scenario() engine.Command {
	c.commands()
	if !slices.Contains(c.cfg.Engines, config.EngineBasilisk) {
		return engine.Command{}
	}
	engines, err := newEngines(c.cfg)
	if err != nil {
		c.add("scenario", LevelFailed, "%v", err)
		return engine.Command{}
	}
	job := engine.Job{HostWork: c.cfg.WorkingDirectory, Work: executor.ContainerWork, Tmp: jobTmp(c.cfg)}
	command, err := engine.For(engines, config.EngineBasilisk).Command(job)
	var wrong *engine.InvalidError
	switch {
	case err == nil:
		c.add("scenario", LevelOK, "%s in %s", command.Entrypoint, c.cfg.WorkingDirectory)
	case c.cfg.BasiliskEntrypoint == "" && errors.As(err, &wrong):
		c.add("scenario", LevelOK, "none by default: each study has to name one (simulation.entrypoint) in %s", c.cfg.WorkingDirectory)
	default:
		c.add("scenario", LevelFailed, "%v; working_directory and basilisk_entrypoint say where it is", err)
		return command
	}
	if _, err := newTreeDigest(c.cfg.WorkingDirectory).sum(context.Background()); err != nil {
		c.add("scenario", LevelWarning, "the code has no digest: %v", err)
	}
	return command
}

// platform asks the platform something that it must refuse, for the right reason.
func (c *checker) platform(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, defaultPace.call)
	defer cancel()
	_, err := c.deps.Platform.Heartbeat(ctx, &runnerv1.HeartbeatRequest{SessionId: "check"})
	switch {
	case err == nil, runnerv1.ReasonOf(err) == runnerv1.ReasonUnknownSession, status.Code(err) == codes.InvalidArgument:
		c.add("platform", LevelOK, "%s answers and takes the token", c.cfg.Server)
	case runnerv1.ReasonOf(err) == runnerv1.ReasonBadToken:
		c.add("platform", LevelFailed, "%s refuses the access token: name its file with --token-file (on the platform's host it is the file `token` of its data directory)", c.cfg.Server)
	case status.Code(err) == codes.Unavailable, status.Code(err) == codes.DeadlineExceeded:
		c.add("platform", LevelWarning, "%s does not answer; jobs come from there: start lynx-server, or name another with --server (%s)", c.cfg.Server, status.Convert(err).Message())
	default:
		c.add("platform", LevelWarning, "%s answers, but not as a Lynx platform: %v", c.cfg.Server, err)
	}
}
