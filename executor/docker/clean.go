package docker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"

	"github.com/tetryx/lynx-runner/executor"
)

var _ executor.Cleaner = (*Executor)(nil)

// Labels of the images that images/*/build.sh make.
const (
	labelTitle  = "org.opencontainers.image.title"
	labelInputs = labelPrefix + "inputs"
	labelStage  = labelPrefix + "stage"
)

// Containers implements executor.Cleaner.
func (e *Executor) Containers(ctx context.Context) ([]executor.Container, error) {
	ids, err := e.engine.list(ctx, labelRunner, e.cfg.RunnerID)
	if err != nil {
		return nil, err
	}
	var list []executor.Container
	for _, id := range ids {
		c, err := e.engine.inspect(ctx, id)
		if errdefs.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		attempt := c.Config.Labels[labelAttempt]
		if c.Name != "/"+containerName(attempt) {
			continue // an image may bring labels, and never a name
		}
		since := engineTime(c.State.FinishedAt)
		if since.Year() < 2000 {
			since = engineTime(c.Created)
		}
		list = append(list, executor.Container{
			ID: c.ID, Name: containerName(attempt), AttemptID: attempt, RuntimeDir: c.Config.Labels[labelRuntimeDir],
			Ended: c.State.Status == container.StateCreated || ended(c.State), Since: since,
		})
	}
	return list, nil
}

// RemoveContainer implements executor.Cleaner.
func (e *Executor) RemoveContainer(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, e.engine.timeout)
	defer cancel()
	_, err := e.engine.api.ContainerRemove(ctx, id, client.ContainerRemoveOptions{RemoveVolumes: true})
	if err != nil && !errdefs.IsNotFound(err) {
		return e.engine.failed(ctx, "remove container "+short(id), err)
	}
	return e.endLeft(ctx, id) // not before: the engine knows whether it runs
}

// Images implements executor.Cleaner.
func (e *Executor) Images(ctx context.Context) ([]executor.Image, error) {
	found, used, err := e.engine.images(ctx)
	if err != nil {
		return nil, err
	}
	pulled, err := e.pulled()
	if err != nil {
		return nil, err
	}
	var list []executor.Image
	for _, i := range found {
		image := executor.Image{
			ID: i.ID, Names: names(i), Stage: i.Labels[labelStage] != "",
			Created: time.Unix(i.Created, 0), InUse: used[i.ID], Bytes: i.Size,
		}
		if image.Title, err = e.engine.built(ctx, i); err != nil {
			return nil, err
		}
		if p, ok := pulled[i.ID]; ok && p.covers(image.Names) {
			image.Pulled, image.Used = true, p.used
		}
		if image.Title != "" || image.Stage || image.Pulled {
			list = append(list, image)
		}
	}
	return list, nil
}

// RemoveImage implements executor.Cleaner. It never forces: the engine refuses what
// a container uses.
func (e *Executor) RemoveImage(ctx context.Context, i executor.Image) error {
	ctx, cancel := context.WithTimeout(ctx, max(e.engine.timeout, time.Minute)) // it deletes files
	defer cancel()
	now, err := e.engine.api.ImageInspect(ctx, i.ID)
	if errdefs.IsNotFound(err) {
		return e.forgetPull(i.ID)
	}
	if err != nil {
		return e.engine.failed(ctx, "inspect image "+i.ID, err)
	}
	if is := names(image.Summary{RepoTags: now.RepoTags, RepoDigests: now.RepoDigests}); !slices.Equal(is, i.Names) {
		return fmt.Errorf("it is called %s by now, and stays", strings.Join(is, ", "))
	}
	refs := i.Names
	if len(refs) == 0 {
		refs = []string{i.ID}
	}
	for _, ref := range refs {
		_, err := e.engine.api.ImageRemove(ctx, ref, client.ImageRemoveOptions{PruneChildren: true})
		if err != nil && !errdefs.IsNotFound(err) {
			return e.engine.failed(ctx, "remove image "+ref, err)
		}
	}
	return e.forgetPull(i.ID)
}

// images lists the images that are no layers of others, and the ids of those that
// containers are made of.
func (e *engine) images(ctx context.Context) ([]image.Summary, map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	res, err := e.api.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return nil, nil, e.failed(ctx, "list images", err)
	}
	containers, err := e.api.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return nil, nil, e.failed(ctx, "list containers", err)
	}
	used := map[string]bool{}
	for _, c := range containers.Items {
		used[c.ImageID] = true
	}
	return res.Items, used, nil
}

// built returns the title of an image that images/*/build.sh made; empty for
// others. An image that is made from one of these has its labels as well, but its
// last layer is another.
func (e *engine) built(ctx context.Context, i image.Summary) (string, error) {
	title := i.Labels[labelTitle]
	if i.Labels[labelInputs] == "" || !strings.HasPrefix(title, "lynx-") {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	res, err := e.api.ImageHistory(ctx, i.ID)
	switch {
	case errdefs.IsNotFound(err):
		return "", nil
	case err != nil:
		return "", e.failed(ctx, "history of image "+i.ID, err)
	case len(res.Items) == 0:
		return "", nil
	}
	last := res.Items[0]
	if strings.Contains(last.CreatedBy, labelInputs) || len(res.Items) == 1 && strings.HasPrefix(last.Comment, "Imported from") {
		return title, nil
	}
	return "", nil
}

// names are an image's references, in order. Old engines write <none> for no name.
func names(i image.Summary) []string {
	var list []string
	for _, name := range i.RepoTags {
		if !strings.Contains(name, "<none>") {
			list = append(list, name)
		}
	}
	for _, name := range i.RepoDigests {
		repository, _, _ := strings.Cut(name, "@")
		tagged := slices.ContainsFunc(i.RepoTags, func(tag string) bool { return strings.HasPrefix(tag, repository+":") })
		if !tagged && !strings.Contains(name, "<none>") {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// covers reports whether an image has no name but those that it was pulled by. One
// whose name went to a newer pull has a digest left, or nothing.
func (p pull) covers(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		return !slices.ContainsFunc(p.References, func(ref string) bool { return sameImage(ref, name) })
	})
}

// sameImage reports whether an engine that pulled ref calls that name, which it
// completes and shortens.
func sameImage(ref, name string) bool {
	ref = strings.TrimPrefix(strings.TrimPrefix(ref, "docker.io/"), "library/")
	repository, _, pinned := strings.Cut(ref, "@")
	if colon := strings.LastIndexByte(repository, ':'); colon > strings.LastIndexByte(repository, '/') {
		repository = repository[:colon]
	}
	if of, _, ok := strings.Cut(name, "@"); ok {
		return of == repository
	}
	if repository == ref {
		ref += ":latest"
	}
	return !pinned && name == ref
}
