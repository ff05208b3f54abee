package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/api"
)

const (
	// DefaultServer is the platform that client commands talk to where no other is
	// named: a lynx-server with its default address on this machine.
	DefaultServer = "http://127.0.0.1:5969"

	serverVariable    = "LYNXCTL_SERVER"
	tokenFileVariable = "LYNXCTL_TOKEN_FILE"
)

// remote marks the commands that talk to a platform which somebody else started.
const remote = "lynx/remote"

// connection is where client commands find their platform: what the flags say.
type connection struct {
	p         *Program
	server    string
	tokenFile string
}

// session is one command's connection to its platform.
type session struct {
	*Program
	client *api.Client
	server string
	// tokenFile is empty where no file was named; token says whether there is one
	// at all, alien that the one found was withheld from another host.
	tokenFile    string
	token, alien bool
}

// addClientCommands adds the commands that talk to a platform, and the flags that
// say to which.
func addClientCommands(root *cobra.Command, p *Program) {
	c := &connection{p: p}
	f := root.PersistentFlags()
	f.StringVar(&c.server, "server", "", "the platform, as http://HOST:PORT or unix:///PATH\n(default $"+serverVariable+" or "+DefaultServer+")")
	f.StringVar(&c.tokenFile, "token-file", "", "file with the platform's access token\n(default $"+tokenFileVariable+" or your own platform's)")
	root.PersistentPreRunE = refuseConnection
	for _, make := range []func(*connection) *cobra.Command{
		submitCommand, watchCommand, cancelCommand, retryCommand,
		batchesCommand, jobsCommand, jobCommand, logsCommand, telemetryCommand, resultsCommand,
		runnersCommand, drainCommand, resumeCommand,
	} {
		cmd := make(c)
		cmd.Annotations = map[string]string{remote: "true"}
		root.AddCommand(cmd)
	}
}

// refuseConnection refuses the flags of a connection where they would have no
// effect.
func refuseConnection(cmd *cobra.Command, _ []string) error {
	if cmd.Annotations[remote] != "" {
		return nil
	}
	for _, name := range []string{"server", "token-file"} {
		if cmd.Flags().Changed(name) {
			return exit(ExitUsage, fmt.Errorf("--%s: `%s` talks to no platform but its own; to use another one, see `lynxctl submit`", name, cmd.CommandPath()))
		}
	}
	return nil
}

// run makes a command's function of one that needs a session. Ctrl-C ends the
// context; errors get their exit status and advice.
func (c *connection) run(do func(ctx context.Context, s *session, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		ctx, cancel := context.WithCancel(cmd.Context())
		defer cancel()
		defer context.AfterFunc(c.p.Interrupt, cancel)()
		s, err := c.open()
		if err != nil {
			return exit(ExitUsage, err)
		}
		defer s.client.Close()
		return s.explain(do(ctx, s, args))
	}
}

// open prepares the session; it makes no connection yet.
func (c *connection) open() (*session, error) {
	s := &session{
		Program:   c.p,
		server:    cmp.Or(c.server, c.p.Getenv(serverVariable), DefaultServer),
		tokenFile: cmp.Or(c.tokenFile, c.p.Getenv(tokenFileVariable)),
	}
	token, err := c.p.Token(s.tokenFile)
	if err != nil {
		return nil, err
	}
	// A token that was found rather than named is this machine's secret.
	if s.alien = token != "" && s.tokenFile == "" && !onThisHost(s.server); s.alien {
		token = ""
	}
	var options []api.Option
	if s.token = token != ""; s.token {
		options = append(options, api.WithToken(token))
	}
	s.client, err = api.NewClient(s.server, options...)
	return s, err
}

// onThisHost reports whether an address is a unix socket or on the loopback
// interface.
func onThisHost(server string) bool {
	if strings.HasPrefix(server, "unix:") {
		return true
	}
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// explain gives an error its exit status and says what to do about it.
func (s *session) explain(err error) error {
	var done *ExitError
	var problem *api.Problem
	switch {
	case s.Interrupt.Err() != nil && errors.Is(err, context.Canceled):
		return exit(ExitInterrupted, errors.New("interrupted"))
	case err == nil || errors.As(err, &done):
		return err
	case errors.Is(err, api.ErrUnreachable):
		return exit(ExitUnreachable, fmt.Errorf("no platform answers at %s: %w\n"+
			"start one with `lynx-server`, or name another with --server or %s", s.server, cause(err), serverVariable))
	case errors.As(err, &problem) && problem.Status == http.StatusUnauthorized:
		return exit(ExitUsage, s.tokenError())
	default:
		return clientError(escaped(err))
	}
}

// cause leaves out of a failed request's error what the message says anyway.
func cause(err error) error {
	if request, ok := errors.AsType[*url.Error](err); ok {
		return request.Err
	}
	return err
}

// tokenError says why the platform did not accept the token, if there was one.
func (s *session) tokenError() error {
	where := fmt.Sprintf("its owner finds it in the file `token` of the platform's data directory; "+
		"give a copy that only you can read as --token-file FILE or %s", tokenFileVariable)
	switch {
	case s.alien:
		return fmt.Errorf("the platform at %s asks for an access token; the one found here is of a platform on this machine and goes nowhere else.\n%s", s.server, where)
	case !s.token:
		return fmt.Errorf("the platform at %s asks for an access token, and none was found.\n%s", s.server, where)
	case s.tokenFile == "":
		return fmt.Errorf("the platform at %s refuses the access token found in its default place: it is another platform's.\n%s", s.server, where)
	default:
		return fmt.Errorf("the platform at %s refuses the access token in %s: it is another platform's, or an old one.\n%s", s.server, s.tokenFile, where)
	}
}

// escaped makes the text of an answer harmless on a terminal, and keeps what kind
// of error it is.
func escaped(err error) error {
	problem, ok := errors.AsType[*api.Problem](err)
	if !ok {
		return err
	}
	clean := *problem
	clean.Title, clean.Detail, clean.Errors = escape(clean.Title), escape(clean.Detail), nil
	for _, e := range problem.Errors {
		e.Path, e.Message = escape(e.Path), escape(e.Message)
		clean.Errors = append(clean.Errors, e)
	}
	return &clean
}
