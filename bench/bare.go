package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
)

// bare is what a program does that knows the engine's API and nothing else: create,
// start, wait, remove. Its containers have the limits of peers/docker-run.sh.
type bare struct {
	engine       *client.Client
	work, output string
	// alone has the engine leave the network alone (NetworkDisabled), as executor/docker
	// does: the container has the same then, and is made sooner.
	alone bool
}

// rate is the containers per second of that many, some at a time.
func (b *bare) rate(ctx context.Context, containers, parallel int) (float64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan struct{}, containers)
	for range containers {
		next <- struct{}{}
	}
	close(next)
	began := time.Now()
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			for range next {
				if err := b.one(ctx); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	return float64(containers) / took.Seconds(), context.Cause(ctx)
}

// one is the life of one container.
func (b *bare) one(ctx context.Context) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	// What is created is removed, also when an interrupt comes between: the engine goes
	// on creating when nobody waits for its answer any more.
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	created, err := b.engine.ContainerCreate(last, client.ContainerCreateOptions{Config: b.config(), HostConfig: b.hostConfig()})
	if err != nil {
		return err
	}
	defer func() {
		_, removeErr := b.engine.ContainerRemove(last, created.ID, client.ContainerRemoveOptions{Force: true})
		err = errors.Join(err, removeErr)
	}()
	wait := b.engine.ContainerWait(ctx, created.ID, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := b.engine.ContainerStart(ctx, created.ID, client.ContainerStartOptions{}); err != nil {
		return err
	}
	select {
	case ended := <-wait.Result:
		if ended.StatusCode != 0 {
			return fmt.Errorf("container %s ended with %d", created.ID, ended.StatusCode)
		}
		return nil
	case err := <-wait.Error:
		return err
	}
}

func (b *bare) config() *container.Config {
	return &container.Config{
		Image: image, User: "61234:61234", WorkingDir: "/lynx/work",
		Entrypoint: []string{"/lynx/work/job"}, Cmd: []string{"/lynx/work/empty"},
		Env:             []string{"HOME=/lynx/home", "TMPDIR=/tmp", "LANG=C.UTF-8", "TETRYX_OUTPUT_DIR=/lynx/output"},
		NetworkDisabled: b.alone,
	}
}

func (b *bare) hostConfig() *container.HostConfig {
	const mega = 1 << 20
	processes := int64(512)
	bind := func(source, target string, readOnly bool) mount.Mount {
		return mount.Mount{Type: mount.TypeBind, Source: source, Target: target, ReadOnly: readOnly}
	}
	limit := func(name string, n int64) *container.Ulimit { return &units.Ulimit{Name: name, Soft: n, Hard: n} }
	return &container.HostConfig{
		NetworkMode: "none", ReadonlyRootfs: true, LogConfig: container.LogConfig{Type: "none"},
		CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"}, ShmSize: 64 * mega,
		Resources: container.Resources{
			NanoCPUs: 1e9, Memory: 1024 * mega, MemorySwap: 1024 * mega, PidsLimit: &processes,
			Ulimits: []*container.Ulimit{limit("core", 0), limit("fsize", 2048*mega), limit("nofile", 4096)},
		},
		Tmpfs: map[string]string{
			"/tmp":       "rw,exec,nosuid,nodev,size=256m,mode=1777",
			"/lynx/home": "rw,exec,nosuid,nodev,size=64m,mode=1777",
		},
		Mounts: []mount.Mount{bind(b.work, "/lynx/work", true), bind(b.output, "/lynx/output", false)},
	}
}

// outputForPeers is a directory that the peers' user can write to.
func (w *world) outputForPeers() (string, error) {
	dir := w.path("peer")
	return dir, errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o777))
}
