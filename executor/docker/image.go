package docker

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"

	"github.com/tetryx/lynx-runner/executor"
)

// Resolve implements executor.Executor. The id it returns is the image's, which
// stays the same whatever a tag is moved to.
func (e *Executor) Resolve(ctx context.Context, ref string) (string, error) {
	if !e.cfg.AllowedImages.Allow(ref) {
		return "", fmt.Errorf("%w: %q is not allowed on this runner, which allows %s; its owner can add it to the allowed images",
			executor.ErrImage, ref, e.cfg.AllowedImages)
	}
	if e.cfg.PullPolicy == PullAlways {
		if err := e.pull(ctx, ref); err != nil {
			e.log.Warn("pull failed; using what is on the engine", "image", ref, "error", err)
		}
	}
	found, err := e.engine.image(ctx, ref)
	if errdefs.IsNotFound(err) && e.cfg.PullPolicy == PullIfMissing {
		if err := e.pull(ctx, ref); err != nil {
			return "", err
		}
		found, err = e.engine.image(ctx, ref)
	}
	if errdefs.IsNotFound(err) {
		return "", fmt.Errorf("%w: %q is not on the engine, and the pull policy is %q: build it (`make image` builds lynx-basilisk), "+
			"fetch it with `docker pull %s`, or set the pull policy to if-missing", executor.ErrImage, ref, e.cfg.PullPolicy, ref)
	}
	if err != nil {
		return "", err
	}
	e.noteUse(found.ID)
	return found.ID, nil
}

// pull pulls an image; callers that want the same one share the pull. It goes on
// when a caller stops waiting.
func (e *Executor) pull(ctx context.Context, ref string) error {
	done := e.pulls.DoChan(ref, func() (any, error) {
		ctx, cancel := context.WithTimeout(e.live, e.cfg.PullTimeout)
		defer cancel()
		return nil, e.pullAndNote(ctx, ref)
	})
	select {
	case res := <-done:
		return res.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// imageVolumes are the volumes that an image declares. An id stands for the same
// image for all time, so the engine, which adds up the sizes of all layers to answer,
// is asked once; if the image is gone by now, create says so.
func (e *Executor) imageVolumes(ctx context.Context, id string) ([]string, error) {
	if known, ok := e.volumes.Load(id); ok {
		return known.([]string), nil
	}
	volumes, err := e.askVolumes(ctx, id)
	if err == nil {
		e.volumes.Store(id, volumes)
	}
	return volumes, err
}

func (e *Executor) askVolumes(ctx context.Context, id string) ([]string, error) {
	found, err := e.engine.image(ctx, id)
	switch {
	case errdefs.IsNotFound(err):
		return nil, fmt.Errorf("%w: %s is not on the engine any more: build or pull it again", executor.ErrImage, id)
	case err != nil:
		return nil, err
	case found.Config == nil:
		return nil, nil
	}
	for _, variable := range found.Config.Env {
		if strings.HasPrefix(variable, "=") {
			return nil, fmt.Errorf("%w: the image sets an environment variable without a name (%q), with which no container starts: build it without", executor.ErrInvalidSpec, variable)
		}
	}
	return sortedVolumes(found.Config.Volumes), nil
}

func (e *engine) image(ctx context.Context, ref string) (image.InspectResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	res, err := e.api.ImageInspect(ctx, ref)
	if err != nil {
		return image.InspectResponse{}, e.failed(ctx, "inspect image "+ref, err)
	}
	return res.InspectResponse, nil
}

func (e *engine) pull(ctx context.Context, ref string) error {
	res, err := e.api.ImagePull(ctx, ref, client.ImagePullOptions{})
	if err == nil {
		err = res.Wait(ctx)
		_ = res.Close()
	}
	if err == nil {
		return nil
	}
	failed := e.failed(ctx, "pull image "+ref, err)
	// Only what the registry itself says about the image is about the image: one
	// that can't be reached may be there again for the next attempt.
	if errdefs.IsNotFound(err) || errdefs.IsPermissionDenied(err) || errdefs.IsUnauthorized(err) || errdefs.IsInvalidArgument(err) {
		return fmt.Errorf("%w: %w; check the name, the registry and the engine's credentials for it", executor.ErrImage, failed)
	}
	return failed
}
