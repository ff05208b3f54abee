package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// ArtifactList is the files that one attempt of a job left in its output
// directory, sorted by name.
type ArtifactList struct {
	JobID   string `json:"job_id"`
	Attempt int    `json:"attempt" doc:"The number of the attempt that left the files, from 1."`
	// AssignedRunner and Directory say where the files lie besides.
	AssignedRunner string     `json:"assigned_runner" doc:"The runner on whose host the files lie."`
	Directory      string     `json:"directory" doc:"The attempt's directory on the runner's host."`
	Items          []Artifact `json:"items" nullable:"false"`
}

// ErrCorrupt is wrapped by the error that reading a [Download] ends with when
// the bytes are not those that were announced.
var ErrCorrupt = errors.New("the bytes that arrived are not those that the platform announced")

// Download is one file on its way. It must be closed.
type Download struct {
	// Size is the number of bytes, -1 if the platform did not say.
	Size int64
	// SHA256 is lower-case hexadecimal; empty if the platform did not say.
	SHA256 string

	body io.ReadCloser
	sum  hash.Hash
	ctx  context.Context // of the request, to tell why its body ended
}

// Read implements io.Reader. It ends with io.EOF only if every byte arrived and
// the checksum is right; else with an error that wraps [ErrCorrupt],
// [ErrUnreachable] or the context's error.
func (d *Download) Read(p []byte) (int, error) {
	n, err := d.body.Read(p)
	d.sum.Write(p[:n])
	switch {
	case err == nil:
		return n, nil
	case !errors.Is(err, io.EOF):
		return n, unreachable(d.ctx, err)
	case d.SHA256 != "" && hex.EncodeToString(d.sum.Sum(nil)) != d.SHA256:
		return n, fmt.Errorf("%w: SHA-256 %x, announced %s", ErrCorrupt, d.sum.Sum(nil), d.SHA256)
	}
	return n, io.EOF
}

// Close implements io.Closer.
func (d *Download) Close() error { return d.body.Close() }

// Artifacts lists the files that an attempt left; attempt 0 is the latest one
// that has a result. A [*Problem] of status 404 if there is none.
func (c *Client) Artifacts(ctx context.Context, jobID string, attempt int) (*ArtifactList, error) {
	return get[ArtifactList](ctx, c, attemptQuery(attempt), "jobs", jobID, "artifacts")
}

// Download opens one artifact by its name, of an attempt as in
// [Client.Artifacts]. A [*Problem] of status 404 for a file that the platform
// does not keep says where the file lies instead.
func (c *Client) Download(ctx context.Context, jobID, name string, attempt int) (*Download, error) {
	res, err := c.stream(ctx, "application/octet-stream", nil, attemptQuery(attempt), "jobs", jobID, "artifacts", name) //nolint:bodyclose // Download.Close does
	if err != nil {
		return nil, err
	}
	d := &Download{Size: res.ContentLength, body: res.Body, sum: sha256.New(), ctx: ctx}
	if tag := strings.Trim(res.Header.Get("ETag"), `"`); len(tag) == hex.EncodedLen(sha256.Size) {
		d.SHA256 = tag
	}
	return d, nil
}

// LogStream is one of the two things that a job prints to.
type LogStream string

// What a job prints to.
const (
	// Stdout is the standard output.
	Stdout LogStream = "stdout"
	// Stderr is the standard error output.
	Stderr LogStream = "stderr"
)

// LogQuery says which log is wanted.
type LogQuery struct {
	// Stream is Stdout where it is empty.
	Stream LogStream
	// Attempt is the attempt's number; 0 is the latest.
	Attempt int
	// Follow asks for what a running attempt goes on to print, until it ends.
	// Without it the log is what there is by now.
	Follow bool
}

// Logs opens a log. Its bytes are the job's own: whoever shows them to a person
// must escape control characters. Reading ends with io.EOF at the end of what
// was asked for. The caller closes it. A [*Problem] of status 404 for a log that
// the platform does not have says where it lies instead.
func (c *Client) Logs(ctx context.Context, jobID string, q LogQuery) (io.ReadCloser, error) {
	query := attemptQuery(q.Attempt)
	if q.Follow {
		query.Set("follow", "true")
	}
	if q.Stream == "" {
		q.Stream = Stdout
	}
	res, err := c.stream(ctx, "application/octet-stream", nil, query, "jobs", jobID, "logs", string(q.Stream))
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

func attemptQuery(attempt int) url.Values {
	q := url.Values{}
	if attempt != 0 {
		q.Set("attempt", strconv.Itoa(attempt))
	}
	return q
}

// stream makes a GET whose answer is read as it comes. The caller closes its
// body.
func (c *Client) stream(ctx context.Context, accept string, header http.Header, query url.Values, path ...string) (*http.Response, error) {
	req, err := c.request(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", accept)
	for name, values := range header {
		req.Header[name] = values
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, unreachable(ctx, err)
	}
	if res.StatusCode != http.StatusOK {
		defer func() { _ = res.Body.Close() }()
		data, err := io.ReadAll(io.LimitReader(res.Body, maxResponse))
		if err != nil {
			return nil, unreachable(ctx, err)
		}
		return nil, problemOf(res, data)
	}
	return res, nil
}
