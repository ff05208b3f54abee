// Package dockertest makes container images for tests without a registry or a
// build: an archive of one layer, from files on this machine, that an engine
// loads. The same files and configuration give the same image id on every
// machine.
package dockertest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/moby/moby/client"
)

// Image is an image for tests.
type Image struct {
	// Name is its reference, with a tag.
	Name string
	// Files maps absolute paths in the image to executable files on this machine.
	Files map[string]string
	// Modes has the permissions of files that are not 0755, such as 04755.
	Modes map[string]int64
	// Config is the image's container configuration, as in the OCI image
	// specification (Env, Entrypoint, User, Volumes, …).
	Config map[string]any
}

// Archive returns the image as a docker archive, and its id.
func (i Image) Archive() (archive []byte, id string, err error) {
	layer, err := i.layer()
	if err != nil {
		return nil, "", err
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux", "created": "1970-01-01T00:00:00Z", "config": i.Config,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}},
	})
	if err != nil {
		return nil, "", err
	}
	name := digest(config) + ".json"
	manifest, err := json.Marshal([]map[string]any{{"Config": name, "RepoTags": []string{i.Name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return nil, "", err
	}
	archive, err = pack(map[string][]byte{"manifest.json": manifest, name: config, "layer.tar": layer}, nil)
	return archive, "sha256:" + digest(config), err
}

func (i Image) layer() ([]byte, error) {
	contents := map[string][]byte{}
	for path, source := range i.Files {
		b, err := os.ReadFile(source)
		if err != nil {
			return nil, err
		}
		contents[path[1:]] = b
	}
	modes := map[string]int64{}
	for path, mode := range i.Modes {
		modes[path[1:]] = mode
	}
	return pack(contents, modes)
}

// pack makes a tar archive in which nothing depends on when or where.
func pack(files map[string][]byte, modes map[string]int64) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		mode, ok := modes[name]
		if !ok {
			mode = 0o755
		}
		h := &tar.Header{Name: name, Mode: mode, Size: int64(len(files[name])), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, err
		}
	}
	return buf.Bytes(), w.Close()
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Load loads the image into the engine of the environment and returns its id.
func (i Image) Load(ctx context.Context) (string, error) {
	archive, id, err := i.Archive()
	if err != nil {
		return "", err
	}
	cli, err := client.New(client.FromEnv)
	if err != nil {
		return "", err
	}
	defer func() { _ = cli.Close() }()
	res, err := cli.ImageLoad(ctx, bytes.NewReader(archive))
	if err != nil {
		return "", fmt.Errorf("load image %s: %w", i.Name, err)
	}
	defer res.Close()
	if _, err := io.Copy(io.Discard, res); err != nil {
		return "", fmt.Errorf("load image %s: %w", i.Name, err)
	}
	return id, nil
}

// Remove removes the image from the engine, with what was made of it.
func (i Image) Remove(ctx context.Context) error {
	cli, err := client.New(client.FromEnv)
	if err != nil {
		return err
	}
	defer func() { _ = cli.Close() }()
	_, err = cli.ImageRemove(ctx, i.Name, client.ImageRemoveOptions{Force: true, PruneChildren: true})
	return err
}
