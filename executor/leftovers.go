package executor

import (
	"context"
	"time"
)

// Cleaner is implemented by executors whose engine keeps things of which nobody
// else takes care: what an attempt left when its runner was killed, and images.
// Its methods decide nothing but what is this runner's, or its programs', at all.
type Cleaner interface {
	// Containers lists this runner's, running or not.
	Containers(ctx context.Context) ([]Container, error)
	// RemoveContainer removes one that has ended; one that runs is an error.
	RemoveContainer(ctx context.Context, id string) error
	// Images lists those that this project's programs have built or pulled.
	Images(ctx context.Context) ([]Image, error)
	// RemoveImage removes one with the names that it was listed with. One that a
	// container uses, or that has another name by now, is an error.
	RemoveImage(ctx context.Context, image Image) error
}

// Container is an attempt's container.
type Container struct {
	ID, Name, AttemptID, RuntimeDir string
	// Ended says that it does not run, and will not by itself.
	Ended bool
	// Since is when it ended, or was made if it never ran.
	Since time.Time
}

// Image is a container image of this project's making, or that it has pulled.
type Image struct {
	ID string
	// Names are its references; without one nobody can ask for it but by its id.
	Names []string
	// Title is what was built, "lynx-basilisk"; empty if it was not built here.
	Title string
	// Stage says that it is an intermediate stage, which makes the next build quick.
	Stage bool
	// Pulled says that a runner with this state directory pulled it, under no other
	// names than Names, and Used when it was last asked for.
	Pulled bool
	Used   time.Time
	// Created is when it was built, and InUse whether a container is made of it.
	Created time.Time
	InUse   bool
	// Bytes counts layers that other images may share.
	Bytes int64
}
