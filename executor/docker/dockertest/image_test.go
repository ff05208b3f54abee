package dockertest

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestArchive wants the same archive and id for the same files and
// configuration, whenever and from wherever they are packed, and another id for
// anything else.
func TestArchive(t *testing.T) {
	image := func(content string, mtime time.Time, config map[string]any) Image {
		path := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, mtime, mtime); err != nil {
			t.Fatal(err)
		}
		return Image{Name: "x:1", Files: map[string]string{"/job": path}, Config: config}
	}
	pack := func(i Image) ([]byte, string) {
		b, id, err := i.Archive()
		if err != nil {
			t.Fatal(err)
		}
		return b, id
	}
	env := map[string]any{"Env": []string{"A=b"}, "User": "1:1"}
	first, id := pack(image("program", time.Unix(1, 0), env))
	again, sameID := pack(image("program", time.Unix(2, 0), env))
	if id != sameID || !bytes.Equal(first, again) {
		t.Errorf("the same image has the ids %s and %s", id, sameID)
	}
	for _, other := range []Image{image("another", time.Unix(1, 0), env), image("program", time.Unix(1, 0), nil)} {
		if _, otherID := pack(other); otherID == id {
			t.Error("another image has the same id")
		}
	}
	checkArchive(t, first)
}

// checkArchive follows the manifest as an engine does.
func checkArchive(t *testing.T, archive []byte) {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	var manifest []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil || len(manifest) != 1 {
		t.Fatalf("manifest %s: %v", files["manifest.json"], err)
	}
	m := manifest[0]
	if m.Config != digest(files[m.Config])+".json" || m.RepoTags[0] != "x:1" {
		t.Errorf("manifest %+v", m)
	}
	var config struct {
		Rootfs struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(files[m.Config], &config); err != nil {
		t.Fatal(err)
	}
	if want := "sha256:" + digest(files[m.Layers[0]]); config.Rootfs.DiffIDs[0] != want {
		t.Errorf("the layer is %s, the configuration says %s", want, config.Rootfs.DiffIDs[0])
	}
}

func TestArchiveOfNothing(t *testing.T) {
	if _, _, err := (Image{Files: map[string]string{"/job": "/nowhere/at/all"}}).Archive(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
