package config

import "errors"

// Load reads the file at path (none if empty), then the LYNX_RUNNER_… variables
// of environ ("KEY=value", as os.Environ has them), then flags (flag name
// without dashes → value), and checks the whole.
func Load(path string, environ []string, flags map[string]string) (*Config, error) {
	return nil, errors.New("not yet")
}
