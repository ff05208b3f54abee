package auth_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform/auth"
)

const token = "lynx_test-token-of-the-guard"

func guard(t *testing.T, hosts ...string) *auth.Guard {
	t.Helper()
	g, err := auth.NewGuard(token, hosts...)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestNewGuardRefusesWeakTokens(t *testing.T) {
	for _, weak := range []string{"", "short", "0123456789 abcdef"} {
		if _, err := auth.NewGuard(weak); err == nil {
			t.Errorf("token %q taken", weak)
		}
	}
}

func TestHTTP(t *testing.T) {
	right := "Bearer " + token
	for _, c := range []struct {
		name   string
		host   string
		header http.Header
		want   int
	}{
		{"token", "127.0.0.1:8080", http.Header{"Authorization": {right}}, 200},
		{"scheme in lower case", "127.0.0.1:8080", http.Header{"Authorization": {"bearer " + token}}, 200},
		{"no token", "127.0.0.1:8080", nil, 401},
		{"empty token", "127.0.0.1:8080", http.Header{"Authorization": {"Bearer "}}, 401},
		{"wrong token", "127.0.0.1:8080", http.Header{"Authorization": {right + "x"}}, 401},
		{"beginning of the token", "127.0.0.1:8080", http.Header{"Authorization": {right[:len(right)-1]}}, 401},
		{"another scheme", "127.0.0.1:8080", http.Header{"Authorization": {"Basic " + token}}, 401},
		{"two headers", "127.0.0.1:8080", http.Header{"Authorization": {right, right}}, 401},
		{"localhost", "LocalHost:1", http.Header{"Authorization": {right}}, 200},
		{"IPv6", "[::1]:8080", http.Header{"Authorization": {right}}, 200},
		{"IPv6 without port", "[::1]", http.Header{"Authorization": {right}}, 200},
		{"own name", "lynx.example.org", http.Header{"Authorization": {right}}, 200},
		{"own name, absolute, port", "lynx.example.org.:443", http.Header{"Authorization": {right}}, 200},
		{"foreign host", "evil.example:8080", http.Header{"Authorization": {right}}, 403},
		{"host that ends in an own name", "x.lynx.example.org", http.Header{"Authorization": {right}}, 403},
		{"no host", "", http.Header{"Authorization": {right}}, 403},
		{"own origin", "127.0.0.1:8080", http.Header{"Authorization": {right}, "Origin": {"http://127.0.0.1:8080"}}, 200},
		{"foreign origin", "127.0.0.1:8080", http.Header{"Authorization": {right}, "Origin": {"http://evil.example"}}, 403},
		{"another port's origin", "127.0.0.1:8080", http.Header{"Authorization": {right}, "Origin": {"http://127.0.0.1:80"}}, 403},
		{"null origin", "127.0.0.1:8080", http.Header{"Authorization": {right}, "Origin": {"null"}}, 403},
		{"own and foreign origin", "127.0.0.1:8080", http.Header{"Authorization": {right}, "Origin": {"http://127.0.0.1:8080", "http://evil.example"}}, 403},
		{"fetched by another site", "127.0.0.1:8080", http.Header{"Authorization": {right}, "Sec-Fetch-Site": {"cross-site"}}, 403},
		{"fetched by a sibling site", "127.0.0.1:8080", http.Header{"Authorization": {right}, "Sec-Fetch-Site": {"same-site"}}, 403},
		{"fetched by the own page", "127.0.0.1:8080", http.Header{"Authorization": {right}, "Sec-Fetch-Site": {"same-origin"}}, 200},
		{"typed by a person", "127.0.0.1:8080", http.Header{"Authorization": {right}, "Sec-Fetch-Site": {"none"}}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, _, reached := serve(t, guard(t, "Lynx.example.org"), c.host, c.header)
			if status != c.want || reached != (c.want == 200) {
				t.Errorf("status %d, handler reached %v; want %d", status, reached, c.want)
			}
		})
	}
}

func TestHTTPRefusalIsAProblem(t *testing.T) {
	_, res, _ := serve(t, guard(t), "127.0.0.1", nil)
	if got := res.Header().Get("WWW-Authenticate"); got != `Bearer realm="lynx"` {
		t.Errorf("WWW-Authenticate %q", got)
	}
	if got := res.Header().Get("Content-Type"); got != api.ProblemType {
		t.Errorf("Content-Type %q", got)
	}
	var p api.Problem
	if err := json.Unmarshal(res.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != 401 || p.Title != "Unauthorized" || p.Detail == "" {
		t.Errorf("problem %+v", p)
	}
}

// A guard without a token still keeps web pages out.
func TestOpenGuard(t *testing.T) {
	g := auth.NewOpenGuard()
	if status, _, _ := serve(t, g, "localhost", nil); status != 200 {
		t.Errorf("no token: %d", status)
	}
	if status, _, _ := serve(t, g, "evil.example", nil); status != 403 {
		t.Errorf("foreign host: %d", status)
	}
	if status, _, _ := serve(t, g, "localhost", http.Header{"Origin": {"http://evil.example"}}); status != 403 {
		t.Errorf("foreign origin: %d", status)
	}
}

func serve(t *testing.T, g *auth.Guard, host string, header http.Header) (int, *httptest.ResponseRecorder, bool) {
	t.Helper()
	reached := false
	h := g.HTTP(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	req := httptest.NewRequest(http.MethodGet, "/healthz", nil)
	req.Host = host
	for name, values := range header {
		req.Header[name] = values
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec.Code, rec, reached
}

func TestCheckOpen(t *testing.T) {
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 8080} }
	for _, c := range []struct {
		name  string
		addrs []net.Addr
		ok    bool
	}{
		{"nothing", nil, true},
		{"loopback", []net.Addr{tcp("127.0.0.1")}, true},
		{"all of 127/8 and IPv6", []net.Addr{tcp("127.1.2.3"), tcp("::1")}, true},
		{"unix socket", []net.Addr{&net.UnixAddr{Name: "/run/lynx.sock", Net: "unix"}}, true},
		{"every address", []net.Addr{tcp("0.0.0.0")}, false},
		{"every address, IPv6", []net.Addr{tcp("::")}, false},
		{"no address", []net.Addr{&net.TCPAddr{Port: 80}}, false},
		{"one of two", []net.Addr{tcp("127.0.0.1"), tcp("192.0.2.7")}, false},
		{"another kind", []net.Addr{&net.IPAddr{IP: net.IPv4(127, 0, 0, 1)}}, false},
	} {
		if err := auth.CheckOpen(c.addrs...); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
