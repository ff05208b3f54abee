package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxResponse bounds what the client reads of one answer, in bytes. A page of
// the largest rows is far below.
const maxResponse = 256 << 20

const (
	// dialTimeout bounds the wait for a connection.
	dialTimeout = 10 * time.Second
	// answerTimeout bounds the wait for the beginning of an answer: twice as long
	// as a platform holds one back when it is asked to wait.
	answerTimeout = 2 * time.Minute
)

// Client calls a Lynx platform. It is safe for concurrent use. A method that
// gets an answer other than success returns a [*Problem]; one that gets no
// answer returns an error that wraps [ErrUnreachable] and its cause, or the
// context's error.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// ErrUnreachable is wrapped by the errors of calls that got no answer from the
// platform.
var ErrUnreachable = errors.New("the platform can't be reached")

// Option sets something of a [Client].
type Option func(*Client)

// WithToken makes the client present a bearer token. The client never follows a
// redirect, so the token goes nowhere else.
func WithToken(token string) Option {
	return func(c *Client) { c.token = token }
}

// WithTransport makes the client use t, for TLS settings of one's own, instead
// of the connections that its base asks for.
func WithTransport(t http.RoundTripper) Option {
	return func(c *Client) { c.http.Transport = t }
}

// NewClient makes a client of the platform at base: "http://HOST:PORT",
// "https://HOST", "HOST:PORT" (plain HTTP), or "unix:///PATH" for a unix socket.
// It makes no connection yet. Proxies of the environment are not used.
func NewClient(base string, opts ...Option) (*Client, error) {
	u, socket, err := parseBase(base)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		Proxy: nil, MaxIdleConnsPerHost: 4,
		DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTimeout, ResponseHeaderTimeout: answerTimeout,
	}
	if socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}
	}
	c := &Client{base: u, http: &http.Client{
		Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}
	for _, o := range opts {
		o(c)
	}
	return c, nil
}

// parseBase returns the URL that requests are made from and the path of the unix
// socket to connect to, empty for TCP.
func parseBase(base string) (u *url.URL, socket string, err error) {
	if path, ok := strings.CutPrefix(base, "unix:"); ok {
		path = strings.TrimPrefix(path, "//")
		if path == "" {
			return nil, "", fmt.Errorf("server %q: no path; write unix:///run/lynx/api.sock", base)
		}
		return &url.URL{Scheme: "http", Host: "localhost"}, path, nil
	}
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err = url.Parse(base)
	switch {
	case err != nil:
		return nil, "", fmt.Errorf("server %q: %w", base, err)
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, "", fmt.Errorf("server %q: scheme %q; it must be http, https or unix", base, u.Scheme)
	case u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, "", fmt.Errorf("server %q: must be a scheme, a host and maybe a port, as http://127.0.0.1:8080", u.Redacted())
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	return u, "", nil
}

// Close drops idle connections. Calls under way go on.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call sends one request without a body and decodes the answer into out.
func (c *Client) call(ctx context.Context, method string, path []string, query url.Values, out any) error {
	return c.send(ctx, method, path, query, "", nil, out)
}

func (c *Client) send(ctx context.Context, method string, path []string, query url.Values,
	contentType string, body []byte, out any,
) error {
	req, err := c.request(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return unreachable(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	return decode(ctx, res, out)
}

// request makes a request with the token that asks for JSON.
func (c *Client) request(ctx context.Context, method string, path []string, query url.Values, body []byte) (*http.Request, error) {
	escaped, err := escape(path)
	if err != nil {
		return nil, err
	}
	u := c.base.JoinPath(escaped...)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, u.Path, err)
	}
	req.Header.Set("Accept", JSON)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return req, nil
}

// escape makes one path element of each string. Three can't be written as one.
func escape(path []string) ([]string, error) {
	out := make([]string, len(path))
	for i, p := range path {
		if p == "" || p == "." || p == ".." {
			return nil, fmt.Errorf("%q is not an id", p)
		}
		out[i] = url.PathEscape(p)
	}
	return out, nil
}

// unreachable tells a caller that gave up from a platform that does not answer.
func unreachable(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case ctx.Err() == nil:
	case cause == ctx.Err(): //nolint:errorlint // whether it is the same, not whether it wraps it
		return fmt.Errorf("gave up on the platform's answer: %w", cause)
	default:
		return fmt.Errorf("gave up on the platform's answer: %w: %w", ctx.Err(), cause)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

func decode(ctx context.Context, res *http.Response, out any) error {
	data, err := io.ReadAll(io.LimitReader(res.Body, maxResponse+1))
	if err != nil {
		return unreachable(ctx, err)
	}
	if len(data) > maxResponse {
		return fmt.Errorf("%s %s: the answer is larger than %d bytes", res.Request.Method, res.Request.URL.Path, maxResponse)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return problemOf(res, data)
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not the JSON that was expected (is this a Lynx platform?): %w",
			res.Request.Method, res.Request.URL.Path, err)
	}
	return nil
}

// problemOf makes a problem of any answer that is no success, also of one that
// another program, such as a proxy, gave.
func problemOf(res *http.Response, data []byte) *Problem {
	p := &Problem{}
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if media != ProblemType || json.Unmarshal(data, p) != nil {
		p = &Problem{Detail: fmt.Sprintf("the server answered %s, in no form that a Lynx platform uses", res.Status)}
	}
	p.Status = res.StatusCode
	if p.Type == "" {
		p.Type = "about:blank"
	}
	if p.Title == "" {
		p.Title = http.StatusText(res.StatusCode)
	}
	return p
}
