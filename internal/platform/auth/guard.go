package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"strings"
)

// Guard lets calls in that may be let in. It is safe for concurrent use.
type Guard struct {
	open  bool
	hash  [sha256.Size]byte
	hosts map[string]bool
}

// NewGuard makes a guard that asks for token. hosts are the names, without
// ports, under which clients reach the platform's HTTP side besides "localhost"
// and IP addresses, which are always let in.
func NewGuard(token string, hosts ...string) (*Guard, error) {
	if err := checkToken(token); err != nil {
		return nil, err
	}
	return &Guard{hash: sha256.Sum256([]byte(token)), hosts: hostSet(hosts)}, nil
}

// NewOpenGuard makes a guard that asks for no token; see [CheckOpen]. It still
// checks Host and Origin.
func NewOpenGuard(hosts ...string) *Guard {
	return &Guard{open: true, hosts: hostSet(hosts)}
}

func hostSet(hosts []string) map[string]bool {
	set := map[string]bool{"localhost": true}
	for _, h := range hosts {
		set[strings.ToLower(strings.TrimSuffix(h, "."))] = true
	}
	return set
}

// CheckOpen returns an error that names the first of the listeners' addresses
// that other hosts could connect to: without a token only loopback addresses and
// unix sockets may be listened on.
func CheckOpen(listeners ...net.Addr) error {
	for _, a := range listeners {
		switch a := a.(type) {
		case *net.UnixAddr:
			continue
		case *net.TCPAddr:
			if a.IP.IsLoopback() {
				continue
			}
		}
		return fmt.Errorf("--no-auth with a listener on %s: anybody who can reach it could run programs here; "+
			"listen on 127.0.0.1 or a unix socket, or leave --no-auth out", a)
	}
	return nil
}

var errToken = errors.New("a valid token is needed, as \"Authorization: Bearer TOKEN\"; " +
	"the platform wrote it to a file at its first start (--token-file names it to clients)")

// allow checks the values of an Authorization header.
func (g *Guard) allow(values []string) error {
	if g.open {
		return nil
	}
	if len(values) != 1 {
		return errToken
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	hash := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(hash[:], g.hash[:]) != 1 {
		return errToken
	}
	return nil
}
