package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/tetryx/lynx-runner/cmd/internal/wire"
	"github.com/tetryx/lynx-runner/internal/platform/auth"
	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/strictyaml"
)

const (
	defaultListen     = "127.0.0.1:5969"
	defaultGRPCListen = config.DefaultServer
	// defaultMaxAttemptBytes has room for what a runner takes of a job by default,
	// and as much telemetry.
	defaultMaxAttemptBytes = 4 << 30
)

// settings is the server's configuration.
type settings struct {
	// Listen and GRPCListen are HOST:PORT or unix:///PATH.
	Listen     string `yaml:"listen"`
	GRPCListen string `yaml:"grpc_listen"`
	Data       string `yaml:"data"`
	// KeepFiles says that the files of attempts are kept, MaxAttemptBytes how many
	// bytes of one; 0 is no bound.
	KeepFiles       bool  `yaml:"keep_files"`
	MaxAttemptBytes int64 `yaml:"max_attempt_bytes"`
	NoAuth          bool  `yaml:"no_auth"`
}

// envConfig is the variable that the configuration file's path is taken from.
const envConfig = envPrefix + "CONFIG"

// variable is the last value of an environment variable; empty if it is not set.
func variable(environ []string, name string) (value string) {
	for _, entry := range environ {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			value = v
		}
	}
	return value
}

// load merges defaults, the file, the environment and the flags that were given.
func load(file string, environ []string, given *pflag.FlagSet, flags settings) (settings, error) {
	s := settings{
		Listen: defaultListen, GRPCListen: defaultGRPCListen, Data: wire.DefaultData(),
		KeepFiles: true, MaxAttemptBytes: defaultMaxAttemptBytes,
	}
	if file == "" {
		file = variable(environ, envConfig)
	}
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return s, fmt.Errorf("configuration: %w", err)
		}
		if err := strictyaml.Decode(data, file, &s); err != nil {
			return s, err
		}
	}
	if err := s.environment(environ); err != nil {
		return s, err
	}
	given.Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "listen":
			s.Listen = flags.Listen
		case "grpc-listen":
			s.GRPCListen = flags.GRPCListen
		case "data":
			s.Data = flags.Data
		case "keep-files":
			s.KeepFiles = flags.KeepFiles
		case "max-attempt-bytes":
			s.MaxAttemptBytes = flags.MaxAttemptBytes
		case "no-auth":
			s.NoAuth = flags.NoAuth
		}
	})
	return s.checked()
}

// envPrefix begins the names of the variables.
const envPrefix = "LYNX_SERVER_"

// environment takes the LYNX_SERVER_… variables; one without a value is as none,
// LYNX_SERVER_CONFIG is no setting, and any other is an error.
func (s *settings) environment(environ []string) error {
	targets := map[string]func(string) error{
		"LISTEN":            text(&s.Listen),
		"GRPC_LISTEN":       text(&s.GRPCListen),
		"DATA":              text(&s.Data),
		"KEEP_FILES":        boolean(&s.KeepFiles),
		"MAX_ATTEMPT_BYTES": number(&s.MaxAttemptBytes),
		"NO_AUTH":           boolean(&s.NoAuth),
	}
	last := map[string]string{} // a variable that is there twice has the last value
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		short, ours := strings.CutPrefix(name, envPrefix)
		if !ours || value == "" || name == envConfig {
			continue
		}
		if targets[short] == nil {
			return fmt.Errorf("%s: no such setting%s", name, didYouMean(short, slices.Sorted(maps.Keys(targets))))
		}
		last[short] = value
	}
	for _, name := range slices.Sorted(maps.Keys(last)) {
		if err := targets[name](last[name]); err != nil {
			return fmt.Errorf("%s%s: %w", envPrefix, name, err)
		}
	}
	return nil
}

func text(target *string) func(string) error {
	return func(value string) error {
		*target = value
		return nil
	}
}

func boolean(target *bool) func(string) error {
	return func(value string) (err error) {
		if *target, err = strconv.ParseBool(value); err != nil {
			err = fmt.Errorf("%q must be true or false", value)
		}
		return err
	}
}

func number(target *int64) func(string) error {
	return func(value string) (err error) {
		if *target, err = strconv.ParseInt(value, 10, 64); err != nil {
			err = fmt.Errorf("%q must be a whole number", value)
		}
		return err
	}
}

func didYouMean(name string, valid []string) string {
	if near := strictyaml.Nearest(name, valid); near != "" {
		return "; did you mean " + envPrefix + near + "?"
	}
	return ""
}

// checked makes the data directory absolute and refuses what can't work.
func (s settings) checked() (settings, error) {
	for _, f := range []struct{ name, value string }{{"listen", s.Listen}, {"grpc_listen", s.GRPCListen}, {"data", s.Data}} {
		if f.value == "" {
			return s, fmt.Errorf("%s is empty", f.name)
		}
	}
	if s.Listen == s.GRPCListen && !strings.HasSuffix(s.Listen, ":0") {
		return s, fmt.Errorf("listen and grpc_listen are both %q; they must differ", s.Listen)
	}
	if s.MaxAttemptBytes < 0 {
		return s, fmt.Errorf("max_attempt_bytes is %d; it must be 0 (no bound) or more", s.MaxAttemptBytes)
	}
	var err error
	if s.Data, err = filepath.Abs(s.Data); err != nil {
		return s, fmt.Errorf("data: %w", err)
	}
	return s, nil
}

// open makes the data directory, listens, and makes the guard.
func (s settings) open() (rest, grpc net.Listener, guard *auth.Guard, err error) {
	if err := os.MkdirAll(s.Data, 0o700); err != nil {
		return nil, nil, nil, fmt.Errorf("data directory: %w", err)
	}
	mode := fs.FileMode(0o666) // the token decides who may call
	if s.NoAuth {
		mode = 0o600
	}
	if rest, err = listen("listen", s.Listen, mode); err != nil {
		return nil, nil, nil, err
	}
	if grpc, err = listen("grpc_listen", s.GRPCListen, mode); err != nil {
		return nil, nil, nil, errors.Join(err, rest.Close())
	}
	if guard, err = s.guard(rest, grpc); err != nil {
		return nil, nil, nil, errors.Join(err, rest.Close(), grpc.Close())
	}
	return rest, grpc, guard, nil
}

func (s settings) guard(listeners ...net.Listener) (*auth.Guard, error) {
	if s.NoAuth {
		for _, l := range listeners {
			if err := auth.CheckOpen(l.Addr()); err != nil {
				return nil, err
			}
		}
		return auth.NewOpenGuard(), nil
	}
	token, err := auth.LoadOrCreate(s.tokenFile())
	if err != nil {
		return nil, err
	}
	var hosts []string
	if host, _, err := net.SplitHostPort(s.Listen); err == nil && host != "" {
		hosts = append(hosts, host)
	}
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	return auth.NewGuard(token, hosts...)
}

// tokenFile is where the access token lies; empty where none is asked for.
func (s settings) tokenFile() string {
	if s.NoAuth {
		return ""
	}
	return filepath.Join(s.Data, wire.TokenName)
}
