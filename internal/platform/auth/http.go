package auth

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/tetryx/lynx-runner/api"
)

// HTTP lets a request through to next if its Host is one of the platform's, its
// Origin, if it has one, is the platform itself, and it carries the token.
// Others are answered with a problem: 403 for the first two, 401 for the token.
func (g *Guard) HTTP(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !g.knownHost(r.Host) {
			refuse(w, http.StatusForbidden, fmt.Sprintf(
				"the request is for host %q, which is not one of this platform's names; use its IP address, or let its owner add the name", r.Host))
			return
		}
		if !sameOrigin(r) {
			refuse(w, http.StatusForbidden, "the request comes from a web page of another origin")
			return
		}
		if err := g.allow(r.Header.Values("Authorization")); err != nil {
			w.Header().Set("WWW-Authenticate", `Bearer realm="lynx"`)
			refuse(w, http.StatusUnauthorized, err.Error())
			return
		}
		next.ServeHTTP(w, r)
	})
}

// knownHost reports whether host is an IP address or one of the guard's names.
// An address can't be rebound by whoever owns a name, so any will do.
func (g *Guard) knownHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if net.ParseIP(name) != nil {
		return true
	}
	return g.hosts[strings.ToLower(strings.TrimSuffix(name, "."))]
}

// sameOrigin reports whether the request comes from no web page or from one of
// the platform's own. Sec-Fetch-Site is sent where Origin is not, for GET.
func sameOrigin(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return false
	}
	for _, origin := range r.Header.Values("Origin") {
		u, err := url.Parse(origin)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || !strings.EqualFold(u.Host, r.Host) {
			return false
		}
	}
	return true
}

func refuse(w http.ResponseWriter, code int, detail string) {
	w.Header().Set("Content-Type", api.ProblemType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	// A client that has gone away is its own affair.
	_ = json.NewEncoder(w).Encode(&api.Problem{
		Type: "about:blank", Title: http.StatusText(code), Status: code, Detail: detail,
	})
}
