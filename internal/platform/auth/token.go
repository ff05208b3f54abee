package auth

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	// tokenPrefix lets people and secret scanners see what a leaked string is.
	tokenPrefix = "lynx_"
	// tokenBytes is how much randomness a token holds.
	tokenBytes = 32
	// maxTokenFile bounds what is read of a token file.
	maxTokenFile = 4096
)

// NewToken draws a token from the system's randomness.
func NewToken() string {
	var b [tokenBytes]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
}

// LoadOrCreate returns the token in the file at path, or puts a new one there if
// there is no such file. The file appears whole, with mode 0600; of two
// processes that start at once, both get the token that stays.
func LoadOrCreate(path string) (string, error) {
	token, err := ReadFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".token-*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("make token file %s: %w", path, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.WriteString(NewToken() + "\n")
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return "", fmt.Errorf("write token file %s: %w", path, err)
	}
	// Unlike a rename, a link never replaces what another process put there.
	if err := os.Link(tmp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make token file %s: %w", path, err)
	}
	return ReadFile(path)
}

// ReadFile returns the token in the file at path. A file that others may read or
// change is refused: its token is no secret. A missing file gives an error that
// is [fs.ErrNotExist].
func ReadFile(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", fmt.Errorf("token file: %w", err)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("token file %s is not a regular file", path)
	case info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("token file %s has mode %#o, so that others can use it; chmod 600 it, or delete it to get a new token",
			path, info.Mode().Perm())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxTokenFile))
	if err != nil {
		return "", fmt.Errorf("token file %s: %w", path, err)
	}
	token := strings.TrimSpace(string(data))
	if err := checkToken(token); err != nil {
		return "", fmt.Errorf("token file %s: %w", path, err)
	}
	return token, nil
}

// checkToken refuses what can't be sent in a header, or guessed too easily.
func checkToken(token string) error {
	if len(token) < 16 {
		return fmt.Errorf("a token of %d characters; it needs 16 or more", len(token))
	}
	for _, r := range token {
		if r <= ' ' || r > '~' {
			return errors.New("a token must be one line of printable ASCII without spaces")
		}
	}
	return nil
}
