package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
)

// listen opens HOST:PORT or unix:///PATH. A unix socket gets a mode; one that a
// server left which was killed is replaced, one that somebody serves is not.
func listen(field, address string, mode fs.FileMode) (net.Listener, error) {
	path, unix := strings.CutPrefix(address, "unix://")
	if !unix {
		l, err := net.Listen("tcp", address)
		return l, listenError(field, err)
	}
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) && abandoned(path) {
		if err := os.Remove(path); err != nil {
			return nil, listenError(field, err)
		}
		l, err = net.Listen("unix", path)
	}
	if err != nil {
		return nil, listenError(field, err)
	}
	if err := os.Chmod(path, mode); err != nil {
		return nil, listenError(field, errors.Join(err, l.Close()))
	}
	return l, nil
}

// abandoned reports whether a path is a unix socket that nobody serves.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket {
		return false
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

func listenError(field string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w; give another address, as 127.0.0.1:8080 or unix:///run/lynx/api.sock", field, err)
}
