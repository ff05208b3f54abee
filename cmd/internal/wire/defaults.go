package wire

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tetryx/lynx-runner/internal/platform/auth"
)

// TokenName is the name of the access token's file in the data directory.
const TokenName = "token"

// DefaultData is the platform's data directory where none is configured:
// /var/lib/lynx for root, below XDG_STATE_HOME (~/.local/state) for anybody else.
func DefaultData() string {
	if os.Geteuid() == 0 {
		return "/var/lib/lynx"
	}
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "lynx-data"
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "lynx")
}

// Token reads the access token from file or, where that is empty, finds the one
// that a platform of this user with the default data directory made. No such
// platform means no token.
func Token(file string) (string, error) {
	if file != "" {
		return auth.ReadFile(file)
	}
	token, err := auth.ReadFile(filepath.Join(DefaultData(), TokenName))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return token, err
}
