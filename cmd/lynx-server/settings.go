package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
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
)

// settings is the server's configuration.
type settings struct {
	// Listen and GRPCListen are HOST:PORT or unix:///PATH.
	Listen     string `yaml:"listen"`
	GRPCListen string `yaml:"grpc_listen"`
	Data       string `yaml:"data"`
	NoAuth     bool   `yaml:"no_auth"`
}

// load merges defaults, the file, the environment and the flags that were given.
func load(file string, env func(string) (string, bool), given *pflag.FlagSet, flags settings) (settings, error) {
	s := settings{Listen: defaultListen, GRPCListen: defaultGRPCListen, Data: wire.DefaultData()}
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return s, fmt.Errorf("configuration: %w", err)
		}
		if err := strictyaml.Decode(data, file, &s); err != nil {
			return s, err
		}
	}
	for name, target := range map[string]*string{
		"LYNX_SERVER_LISTEN": &s.Listen, "LYNX_SERVER_GRPC_LISTEN": &s.GRPCListen, "LYNX_SERVER_DATA": &s.Data,
	} {
		if v, ok := env(name); ok {
			*target = v
		}
	}
	if v, ok := env("LYNX_SERVER_NO_AUTH"); ok {
		b, err := strconv.ParseBool(v)
		if err != nil {
			return s, fmt.Errorf("LYNX_SERVER_NO_AUTH: %q must be true or false", v)
		}
		s.NoAuth = b
	}
	given.Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "listen":
			s.Listen = flags.Listen
		case "grpc-listen":
			s.GRPCListen = flags.GRPCListen
		case "data":
			s.Data = flags.Data
		case "no-auth":
			s.NoAuth = flags.NoAuth
		}
	})
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
	if rest, err = listen("listen", s.Listen); err != nil {
		return nil, nil, nil, err
	}
	if grpc, err = listen("grpc_listen", s.GRPCListen); err != nil {
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

// listen opens HOST:PORT or unix:///PATH.
func listen(field, address string) (net.Listener, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix://"); ok {
		network, address = "unix", path
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; give another address, as 127.0.0.1:8080 or unix:///run/lynx/api.sock", field, err)
	}
	return l, nil
}
