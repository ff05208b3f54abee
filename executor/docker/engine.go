package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/tetryx/lynx-runner/executor"
)

// api is the part of the client library that is used here. The library's 0.x
// versions break their callers: what changes there is mended in this file.
type api interface {
	Ping(context.Context, client.PingOptions) (client.PingResult, error)
	Info(context.Context, client.InfoOptions) (client.SystemInfoResult, error)
	ClientVersion() string
	DaemonHost() string
	ImageInspect(context.Context, string, ...client.ImageInspectOption) (client.ImageInspectResult, error)
	ImagePull(context.Context, string, client.ImagePullOptions) (client.ImagePullResponse, error)
	ImageList(context.Context, client.ImageListOptions) (client.ImageListResult, error)
	ImageHistory(context.Context, string, ...client.ImageHistoryOption) (client.ImageHistoryResult, error)
	ImageRemove(context.Context, string, client.ImageRemoveOptions) (client.ImageRemoveResult, error)
	ContainerCreate(context.Context, client.ContainerCreateOptions) (client.ContainerCreateResult, error)
	ContainerStart(context.Context, string, client.ContainerStartOptions) (client.ContainerStartResult, error)
	ContainerWait(context.Context, string, client.ContainerWaitOptions) client.ContainerWaitResult
	ContainerInspect(context.Context, string, client.ContainerInspectOptions) (client.ContainerInspectResult, error)
	ContainerKill(context.Context, string, client.ContainerKillOptions) (client.ContainerKillResult, error)
	ContainerRemove(context.Context, string, client.ContainerRemoveOptions) (client.ContainerRemoveResult, error)
	ContainerList(context.Context, client.ContainerListOptions) (client.ContainerListResult, error)
	Events(context.Context, client.EventsListOptions) client.EventsResult
	Close() error
}

var _ api = (*client.Client)(nil)

var infoOptions = client.InfoOptions{}

// engine is the Docker Engine, with a deadline on every call that should be
// answered at once.
type engine struct {
	api     api
	timeout time.Duration
}

// connect makes a client and agrees with the engine on an API version.
func connect(ctx context.Context, cfg Config) (*engine, error) {
	opts := []client.Opt{client.FromEnv}
	if cfg.Host != "" {
		opts = append(opts, client.WithHost(cfg.Host))
	}
	cli, err := client.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("docker client: %w; check DOCKER_HOST and DOCKER_API_VERSION", err)
	}
	e := &engine{api: cli, timeout: cfg.CallTimeout}
	if err := e.negotiate(ctx); err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

func (e *engine) negotiate(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	_, err := e.api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	switch {
	case err == nil:
		return nil
	case errdefs.IsInvalidArgument(err):
		return fmt.Errorf("%w: no API version in common with the engine at %s, which must speak %s or newer (Docker 19.03): %w",
			executor.ErrUnavailable, e.api.DaemonHost(), client.MinAPIVersion, err)
	default:
		return fmt.Errorf("%w: no engine answers at %s: %w; start Docker, or set DOCKER_HOST, and check that this user may use its socket (`docker version` must work)",
			executor.ErrUnavailable, e.api.DaemonHost(), err)
	}
}

// Ping implements executor.Pinger.
func (e *Executor) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.engine.timeout)
	defer cancel()
	if _, err := e.engine.api.Ping(ctx, client.PingOptions{}); err != nil {
		return fmt.Errorf("%w: no engine answers at %s: %w", executor.ErrUnavailable, e.engine.api.DaemonHost(), err)
	}
	return nil
}

func (e *engine) close() { _ = e.api.Close() }

// failed wraps an error of a call. ctx is the call's, with the deadline.
func (e *engine) failed(ctx context.Context, what string, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w: the engine did not answer in time: %s: %w", executor.ErrUnavailable, what, err)
	case client.IsErrConnectionFailed(err), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errdefs.IsUnavailable(err):
		return fmt.Errorf("%w: %s: %w", executor.ErrUnavailable, what, err)
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
}

func (e *engine) create(ctx context.Context, name string, body createBody) (string, []string, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	res, err := e.api.ContainerCreate(ctx, client.ContainerCreateOptions{
		Name: name, Config: &body.Config, HostConfig: &body.HostConfig,
	})
	if err != nil {
		return "", nil, e.failed(ctx, "create container "+name, err)
	}
	return res.ID, res.Warnings, nil
}

func (e *engine) start(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	if _, err := e.api.ContainerStart(ctx, id, client.ContainerStartOptions{}); err != nil {
		return e.failed(ctx, "start container "+short(id), err)
	}
	return nil
}

func (e *engine) inspect(ctx context.Context, id string) (container.InspectResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	res, err := e.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return container.InspectResponse{}, e.failed(ctx, "inspect container "+short(id), err)
	}
	if res.Container.State == nil || res.Container.Config == nil || res.Container.HostConfig == nil {
		return container.InspectResponse{}, fmt.Errorf("inspect container %s: the engine's answer lacks its state or configuration", short(id))
	}
	return res.Container, nil
}

// kill sends SIGKILL. A container that doesn't run, or is not there, is no error.
func (e *engine) kill(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	_, err := e.api.ContainerKill(ctx, id, client.ContainerKillOptions{Signal: "KILL"})
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsConflict(err) {
		return e.failed(ctx, "kill container "+short(id), err)
	}
	return nil
}

// remove deletes a container and its volumes, running or not. One that is not
// there is no error.
func (e *engine) remove(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	for {
		_, err := e.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		switch {
		case err == nil || errdefs.IsNotFound(err):
			return nil
		case errdefs.IsConflict(err): // it is being removed already
			if sleep(ctx, 20*time.Millisecond) == nil {
				continue
			}
		}
		return e.failed(ctx, "remove container "+short(id), err)
	}
}

// list returns the ids of all containers, running or not, with a label.
func (e *engine) list(ctx context.Context, label, value string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	res, err := e.api.ContainerList(ctx, client.ContainerListOptions{
		All: true, Filters: client.Filters{}.Add("label", label+"="+value),
	})
	if err != nil {
		return nil, e.failed(ctx, "list containers", err)
	}
	ids := make([]string, len(res.Items))
	for i, c := range res.Items {
		ids[i] = c.ID
	}
	return ids, nil
}

// killedByOthers says whether the engine was asked, since a time, to send the
// container a signal. The engine remembers only its latest events, so false
// proves nothing.
func (e *engine) killedByOthers(ctx context.Context, id string, since time.Time) bool {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	res := e.api.Events(ctx, client.EventsListOptions{
		Since: since.Add(-time.Second).UTC().Format(time.RFC3339Nano),
		Until: time.Now().UTC().Format(time.RFC3339Nano),
		Filters: client.Filters{}.Add("type", "container").Add("container", id).
			Add("event", "kill"),
	})
	select {
	case <-res.Messages:
		return true
	case err := <-res.Err: // io.EOF where there are none
		return err == nil
	}
}

// exited is a registered wait for a container's end: it gets one value.
type exited <-chan error

// wait registers a wait for the container's exit. Only the registration has a
// deadline; the wait goes on until ctx ends.
func (e *engine) wait(ctx context.Context, id string, condition container.WaitCondition) (exited, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	deadline := time.AfterFunc(e.timeout, func() { cancel(context.DeadlineExceeded) })
	res := e.api.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: condition})
	inTime := deadline.Stop()
	select {
	case err := <-res.Error:
		cancel(nil)
		if !inTime {
			return nil, fmt.Errorf("%w: the engine did not answer in time: wait for container %s", executor.ErrUnavailable, short(id))
		}
		return nil, e.failed(ctx, "wait for container "+short(id), err)
	default:
	}
	out := make(chan error, 1)
	go func() {
		defer cancel(nil)
		select {
		case r := <-res.Result:
			if r.Error != nil && r.Error.Message != "" {
				out <- errors.New(r.Error.Message)
				return
			}
			out <- nil
		case err := <-res.Error:
			out <- err
		}
	}()
	return out, nil
}

// sleep waits for d, or for the context's end, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// short is a container's id as people write it.
func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}
