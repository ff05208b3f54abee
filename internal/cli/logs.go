package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/api"
)

// logOptions are the flags of `lynxctl logs`.
type logOptions struct {
	stream  string
	attempt int
	follow  bool
}

func logsCommand(c *connection) *cobra.Command {
	var o logOptions
	cmd := &cobra.Command{
		Use:   "logs JOB",
		Short: "Print what a job printed",
		Long: `Print what a job printed: its standard output to standard output, its standard
error to standard error.
` + jobReferences + `
On a terminal, control characters of the job are escaped; into a pipe or a file go
the bytes as they are.`,
		Example: `  lynxctl logs last/17
  lynxctl logs last/17 -f                      # goes on until the attempt ends
  lynxctl logs last/17 --stream stderr --attempt 1 > stderr.log`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: c.run(func(ctx context.Context, s *session, args []string) error {
			if err := o.check(); err != nil {
				return exit(ExitUsage, err)
			}
			job, err := s.job(ctx, args[0])
			if err != nil {
				return err
			}
			return s.logs(ctx, job, o)
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.stream, "stream", "", "only stdout or stderr, to standard output")
	f.IntVar(&o.attempt, "attempt", 0, "the attempt's number (default: the latest)")
	f.BoolVarP(&o.follow, "follow", "f", false, "go on until the attempt ends")
	_ = cmd.RegisterFlagCompletionFunc("stream", cobra.FixedCompletions([]cobra.Completion{"stdout", "stderr"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (o *logOptions) check() error {
	switch o.stream {
	case "", string(api.Stdout), string(api.Stderr):
	default:
		return fmt.Errorf("--stream %s: must be stdout or stderr", o.stream)
	}
	return checkAttempt(o.attempt)
}

func checkAttempt(n int) error {
	if n < 0 {
		return fmt.Errorf("--attempt %d: attempts are counted from 1", n)
	}
	return nil
}

// logs prints one log, or both. Those of an attempt that is over come one after
// the other, those that are followed as they come.
func (s *session) logs(ctx context.Context, job *api.Job, o logOptions) error {
	if job.Attempt == 0 {
		return noSuch("job %s has not begun, so that it has printed nothing yet: it is %s", job.JobID, jobStatus(job))
	}
	out, errs := s.logWriters()
	query := api.LogQuery{Stream: api.LogStream(o.stream), Attempt: o.attempt, Follow: o.follow}
	if o.stream != "" {
		return s.copyLog(ctx, job, query, out)
	}
	toOut, toErr := query, query
	toOut.Stream, toErr.Stream = api.Stdout, api.Stderr
	if !o.follow {
		if err := s.copyLog(ctx, job, toOut, out); err != nil {
			return err
		}
		return s.copyLog(ctx, job, toErr, errs)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var both sync.WaitGroup
	for _, one := range []struct {
		query api.LogQuery
		w     io.Writer
	}{{toOut, out}, {toErr, errs}} {
		both.Go(func() {
			if err := s.copyLog(ctx, job, one.query, one.w); err != nil {
				cancel(err)
			}
		})
	}
	both.Wait()
	return context.Cause(ctx)
}

// logWriters are where a job's standard output and standard error go.
func (s *session) logWriters() (out, errs io.Writer) {
	out, errs = s.Stdout, s.Stderr
	if s.Width > 0 {
		out = &escaper{w: out}
	}
	if s.Terminal {
		errs = &escaper{w: errs}
	}
	return out, errs
}

// copyLog prints one log.
func (s *session) copyLog(ctx context.Context, job *api.Job, q api.LogQuery, w io.Writer) error {
	log, err := s.client.Logs(ctx, job.JobID, q)
	if err != nil {
		return err
	}
	defer log.Close()
	_, err = io.Copy(writeOnly{w}, log)
	if failed, ok := errors.AsType[*printError](err); ok {
		return writeFailed(failed.error)
	}
	return err
}

// writeOnly marks the errors of writing, so that they are told from those of
// reading.
type writeOnly struct{ io.Writer }

type printError struct{ error }

func (w writeOnly) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		err = &printError{err}
	}
	return n, err
}

// escaper escapes what a terminal would act on in a job's text, but for the ends
// of its lines and its tabs.
type escaper struct {
	w io.Writer
	// rest is the beginning of a character, or of a line's end, whose end has not
	// come yet.
	rest []byte
}

func (e *escaper) Write(p []byte) (int, error) {
	text := append(e.rest, p...)
	e.rest = nil
	out := bufio.NewWriter(e.w)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case len(text) == 1 && r == '\r', !utf8.FullRune(text):
			e.rest = append(e.rest, text...)
			return len(p), out.Flush()
		case r == '\n' || r == '\t' || !acts(r) && (r != utf8.RuneError || size > 1):
			_, _ = out.Write(text[:size]) // Flush has the error
		case r == '\r' && text[1] == '\n':
			// A line of another system ends here.
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(out, `\x%02x`, text[0])
		default:
			_, _ = out.WriteString(escape(string(r)))
		}
		text = text[size:]
	}
	return len(p), out.Flush()
}
