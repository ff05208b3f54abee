// Command lynx-server is the platform: it takes studies over its REST interface
// and gives their runs to the runners that connect to its gRPC interface.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/cmd/internal/buildinfo"
	"github.com/tetryx/lynx-runner/cmd/internal/wire"
)

// version is what --version prints.
var version = buildinfo.Version()

// The exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run()) }

func run() int {
	gentle, _, stop := wire.Interrupts()
	defer stop()
	err := command(os.Environ()).ExecuteContext(gentle)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "lynx-server:", err)
	if errors.As(err, new(failure)) {
		return exitFailed
	}
	return exitUsage
}

// failure is an error while the platform ran.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

func command(environ []string) *cobra.Command {
	var configFile string
	flags := settings{}
	cmd := &cobra.Command{
		Use:   "lynx-server",
		Short: "The Lynx platform",
		Long: `The Lynx platform. At its first start it makes an access token in <data>/token,
which every call needs; lynxctl and lynx-runner find it there if they run as the
same user with the default data directory, and take --token-file otherwise.

Settings come from the configuration file, LYNX_SERVER_... variables and flags;
the later ones win. SIGTERM or Ctrl-C ends the platform in order; runners go on
with what they have, and find it again when it is back.

Exit status: 0 stopped, 1 failure, 2 wrong usage, an invalid file, or an address or
directory that can't be used.`,
		Example: `  lynx-server
  lynx-server --listen 127.0.0.1:8080 --grpc-listen 127.0.0.1:8081 --data /srv/lynx`,
		Args:          cobra.NoArgs,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := load(configFile, environ, cmd.Flags(), flags)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), s, wire.NewLog(os.Stderr, slog.LevelInfo))
		},
	}
	f := cmd.Flags()
	f.StringVar(&configFile, "config", "", "configuration file (default $LYNX_SERVER_CONFIG)")
	f.StringVar(&flags.Listen, "listen", "", "address of the REST interface (default "+defaultListen+")")
	f.StringVar(&flags.GRPCListen, "grpc-listen", "", "address of the runners' gRPC interface (default "+defaultGRPCListen+")")
	f.StringVar(&flags.Data, "data", "", "data directory (default "+wire.DefaultData()+")")
	f.BoolVar(&flags.KeepFiles, "keep-files", true, "take logs, telemetry and artifacts from the runners and keep them in <data>/files")
	f.Int64Var(&flags.MaxAttemptBytes, "max-attempt-bytes", defaultMaxAttemptBytes, "most bytes of one attempt's files to keep; 0 is no bound")
	f.BoolVar(&flags.NoAuth, "no-auth", false, "ask for no token; only with listeners on loopback or unix sockets")
	return cmd
}

// serve runs the platform until ctx ends.
func serve(ctx context.Context, s settings, log *slog.Logger) error {
	rest, grpc, guard, err := s.open()
	if err != nil {
		return err
	}
	p, err := wire.StartPlatform(ctx, wire.PlatformOptions{
		Data: s.Data, KeepFiles: s.KeepFiles, MaxAttemptBytes: s.MaxAttemptBytes, REST: rest, GRPC: grpc, Guard: guard, Version: version, Log: log,
	})
	if err != nil {
		return err
	}
	log.Info("the platform is up", "rest", rest.Addr().String(), "grpc", grpc.Addr().String(),
		"data", s.Data, "keep_files", s.KeepFiles, "token_file", s.tokenFile())
	select {
	case <-ctx.Done():
		log.Info("stopping")
	case <-p.Failed():
	}
	if err := p.Stop(); err != nil {
		return failure{err}
	}
	return nil
}
