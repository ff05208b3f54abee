package shim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// maxConfig bounds the configuration file; the kernel takes no more of arguments
// and environment together than 6 MiB.
const maxConfig = 8 << 20

// loadConfig reads the configuration, from standard input where path is "-". With
// an error it returns as much as could be read, for the control socket in it.
func loadConfig(path string) (Config, error) {
	f := os.Stdin
	if path != "-" {
		var err error
		if f, err = os.Open(path); err != nil {
			return Config{}, fmt.Errorf("configuration: %w", err)
		}
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	if len(data) > maxConfig {
		return Config{}, fmt.Errorf("configuration %s: more than %d bytes", path, maxConfig)
	}
	var c Config
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("configuration %s: %w", path, err)
	}
	if err := c.check(); err != nil {
		return c, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

// check refuses what can't be carried out.
func (c Config) check() error {
	switch {
	case len(c.Argv) == 0 || c.Argv[0] == "":
		return errors.New("argv: no command")
	case !filepath.IsAbs(c.Dir):
		return fmt.Errorf("dir: %q is not an absolute path", c.Dir)
	case !filepath.IsAbs(c.Stdout) || !filepath.IsAbs(c.Stderr) || c.Stdout == c.Stderr:
		return fmt.Errorf("stdout, stderr: %q and %q must be two absolute paths", c.Stdout, c.Stderr)
	case c.LogHead < 0 || c.LogTail < 0:
		return fmt.Errorf("log_head, log_tail: %d and %d must not be negative", c.LogHead, c.LogTail)
	case c.KillAfterMillis < 0:
		return fmt.Errorf("kill_after_millis: %d must not be negative", c.KillAfterMillis)
	case c.RunnerLossMillis < 0:
		return fmt.Errorf("runner_loss_millis: %d must not be negative", c.RunnerLossMillis)
	case c.ReportFD < 0 || c.ReportFD > 0 && c.ReportFD < 3:
		return fmt.Errorf("report_fd: %d must be 0 or above 2", c.ReportFD)
	case c.Report != "" && !filepath.IsAbs(c.Report):
		return fmt.Errorf("report: %q is not an absolute path", c.Report)
	}
	for _, kv := range c.Env {
		if strings.IndexByte(kv, '=') < 1 {
			return fmt.Errorf("env: %q is not KEY=value", kv)
		}
	}
	return c.checkTelemetry()
}

func (c Config) checkTelemetry() error {
	if (c.TelemetrySocket == "") != (c.TelemetryListen == "") {
		return errors.New("telemetry_socket and telemetry_listen: set both or none")
	}
	if c.TelemetryListen == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(c.TelemetryListen)
	if err != nil {
		return fmt.Errorf("telemetry_listen: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("telemetry_listen: %q is not a loopback address", host)
	}
	return nil
}

// environment is the job's environment: the configured one, in order, and where
// the telemetry is. target is empty for none.
func (c Config) environment(target string) []string {
	if target == "" {
		return c.Env
	}
	env := make([]string, 0, len(c.Env)+2)
	for _, kv := range c.Env {
		name, _, _ := strings.Cut(kv, "=")
		if name != "TETRYX_TELEMETRY_URL" && name != "TETRYX_TELEMETRY_TARGET" {
			env = append(env, kv)
		}
	}
	return append(env, "TETRYX_TELEMETRY_URL=http://"+target, "TETRYX_TELEMETRY_TARGET="+target)
}
