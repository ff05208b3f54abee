package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// given makes the flag set of a command line.
func given(t *testing.T, flags *settings, args ...string) *pflag.FlagSet {
	t.Helper()
	f := pflag.NewFlagSet("lynx-server", pflag.ContinueOnError)
	f.StringVar(&flags.Listen, "listen", "", "")
	f.StringVar(&flags.GRPCListen, "grpc-listen", "", "")
	f.StringVar(&flags.Data, "data", "", "")
	f.BoolVar(&flags.KeepFiles, "keep-files", true, "")
	f.Int64Var(&flags.MaxAttemptBytes, "max-attempt-bytes", 0, "")
	f.BoolVar(&flags.NoAuth, "no-auth", false, "")
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	return f
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "server.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrecedence(t *testing.T) {
	text := "listen: 127.0.0.1:1\ngrpc_listen: 127.0.0.1:2\ndata: /file\nkeep_files: false\nmax_attempt_bytes: 5\nno_auth: true\n"
	for name, c := range map[string]struct {
		file    string
		environ []string
		args    []string
		want    settings
	}{
		"file": {text, nil, nil, settings{"127.0.0.1:1", "127.0.0.1:2", "/file", false, 5, true}},
		"environment over file": {text, []string{"LYNX_SERVER_LISTEN=a:1", "LYNX_SERVER_NO_AUTH=false", "LYNX_SERVER_DATA=",
			"LYNX_SERVER_KEEP_FILES=true", "LYNX_SERVER_MAX_ATTEMPT_BYTES=6"}, nil,
			settings{"a:1", "127.0.0.1:2", "/file", true, 6, false}},
		"flags over both": {text, []string{"LYNX_SERVER_LISTEN=a:1", "LYNX_SERVER_DATA=/env", "LYNX_SERVER_MAX_ATTEMPT_BYTES=6"},
			[]string{"--listen", "b:1", "--no-auth=false", "--keep-files", "--max-attempt-bytes", "0"},
			settings{"b:1", "127.0.0.1:2", "/env", true, 0, false}},
		"defaults": {"{}", []string{"LYNX_SERVER_DATA=/d", "LYNX_RUNNER_IMAGE=x", "PATH=/bin"}, nil,
			settings{defaultListen, defaultGRPCListen, "/d", true, 4 << 30, false}},
	} {
		t.Run(name, func(t *testing.T) {
			path := file(t, c.file)
			var flags settings
			got, err := load(path, c.environ, given(t, &flags, c.args...), flags)
			if err != nil || got != c.want {
				t.Errorf("%+v, %v; want %+v", got, err, c.want)
			}
			// The same file named by the environment.
			got, err = load("", append(c.environ, "LYNX_SERVER_CONFIG="+path), given(t, &flags, c.args...), flags)
			if err != nil || got != c.want {
				t.Errorf("by LYNX_SERVER_CONFIG: %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

func TestSettingsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		file    string
		environ []string
		args    []string
		says    string
	}{
		"unknown key":      {"lissen: 127.0.0.1:1\n", nil, nil, "listen"},
		"unknown variable": {"{}", []string{"LYNX_SERVER_LISTN=x"}, nil, "did you mean LYNX_SERVER_LISTEN?"},
		"no boolean":       {"{}", []string{"LYNX_SERVER_NO_AUTH=perhaps"}, nil, "true or false"},
		"no number":        {"{}", []string{"LYNX_SERVER_MAX_ATTEMPT_BYTES=4Gi"}, nil, "LYNX_SERVER_MAX_ATTEMPT_BYTES: \"4Gi\" must be a whole number"},
		"below 0":          {"max_attempt_bytes: -1\n", nil, nil, "max_attempt_bytes"},
		"empty":            {"{}", nil, []string{"--data", ""}, "data is empty"},
		"same address":     {"{}", nil, []string{"--listen", "127.0.0.1:5", "--grpc-listen", "127.0.0.1:5"}, "must differ"},
	} {
		t.Run(name, func(t *testing.T) {
			var flags settings
			_, err := load(file(t, c.file), c.environ, given(t, &flags, c.args...), flags)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
	if _, err := load("/no/such/file", nil, given(t, &settings{}), settings{}); err == nil || !strings.Contains(err.Error(), "/no/such/file") {
		t.Errorf("no file: %v", err)
	}
}

// TestTheShippedFile holds configs/lynx-server.yaml to the defaults it says it has.
func TestTheShippedFile(t *testing.T) {
	got, err := load("../../configs/lynx-server.yaml", nil, given(t, &settings{}), settings{})
	if want := (settings{defaultListen, defaultGRPCListen, "/var/lib/lynx", true, 4 << 30, false}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

// short makes a directory whose path leaves room for a socket's name.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lx")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestOpenUnixSockets(t *testing.T) {
	dir := short(t)
	for name, c := range map[string]struct {
		noAuth bool
		mode   os.FileMode
	}{"with a token": {false, 0o666}, "without": {true, 0o600}} {
		t.Run(name, func(t *testing.T) {
			s := settings{Listen: "unix://" + dir + "/r", GRPCListen: "unix://" + dir + "/g", Data: filepath.Join(dir, "data"), NoAuth: c.noAuth}
			rest, grpc, guard, err := s.open()
			if err != nil {
				t.Fatal(err)
			}
			defer rest.Close()
			defer grpc.Close()
			for _, name := range []string{"r", "g"} {
				info, err := os.Stat(filepath.Join(dir, name))
				if err != nil || info.Mode().Perm() != c.mode {
					t.Errorf("%s: %v, %v; want mode %v", name, info.Mode(), err, c.mode)
				}
			}
			if guard == nil {
				t.Error("no guard")
			}
			_, err = os.Stat(filepath.Join(s.Data, "token"))
			if c.noAuth != (s.tokenFile() == "") || !c.noAuth && err != nil {
				t.Errorf("token file %q: %v", s.tokenFile(), err)
			}
		})
	}
}

// TestNoAuthOnANetwork must be refused, and leave no listener.
func TestNoAuthOnANetwork(t *testing.T) {
	s := settings{Listen: "0.0.0.0:0", GRPCListen: "127.0.0.1:0", Data: t.TempDir(), NoAuth: true}
	if _, _, _, err := s.open(); err == nil || !strings.Contains(err.Error(), "--no-auth") {
		t.Errorf("error %v", err)
	}
}

func TestOpenFailsWithoutAListenerLeft(t *testing.T) {
	dir := short(t)
	taken, err := net.Listen("unix", dir+"/g")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s := settings{Listen: "unix://" + dir + "/r", GRPCListen: "unix://" + dir + "/g", Data: dir}
	if _, _, _, err := s.open(); err == nil || !strings.Contains(err.Error(), "grpc_listen") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(dir + "/r"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the other socket is still there: %v", err)
	}
	if _, err := net.Dial("unix", dir+"/g"); err != nil {
		t.Errorf("the other server's socket is gone: %v", err)
	}
}

// TestStaleSocket: what a killed server left is replaced; a file that is no
// socket is not touched.
func TestStaleSocket(t *testing.T) {
	path := short(t) + "/s"
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	stale.Close()
	l, err := listen("listen", "unix://"+path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen("listen", "unix://"+path, 0o600); err == nil {
		t.Error("listened in the place of a file")
	}
	if data, err := os.ReadFile(path); string(data) != "precious" {
		t.Errorf("the file is %q, %v", data, err)
	}
}
