package docs

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/tetryx/lynx-runner/internal/runner/config"
	"github.com/tetryx/lynx-runner/internal/study"
)

// studyKeys are the top-level keys of a study.
var studyKeys = []string{"simulation", "monte_carlo", "dispersions", "compute", "early_termination", "telemetry"}

// TestFilesOfTheDocuments: each YAML block is a valid study, without a warning, or
// a runner's file that loads; each JSON block is JSON.
func TestFilesOfTheDocuments(t *testing.T) {
	seen := map[string]int{}
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			var err error
			switch b.language {
			case "yaml":
				err = checkYAML(t, b, seen)
			case "json":
				err = json.Unmarshal([]byte(b.text), new(any))
				seen["json"]++
			}
			if err != nil {
				t.Errorf("%s:%d: %v", b.file, b.line, err)
			}
		}
	}
	if seen["study"] < 2 || seen["runner"] < 1 || seen["json"] < 1 {
		t.Errorf("found only %v", seen)
	}
}

func checkYAML(t *testing.T, b block, seen map[string]int) error {
	t.Helper()
	var keys map[string]any
	if err := yaml.Unmarshal([]byte(b.text), &keys); err != nil {
		return err
	}
	for key := range keys {
		if slices.Contains(studyKeys, key) {
			seen["study"]++
			request, err := study.Parse([]byte(b.text), "study.yaml")
			if err == nil && len(request.Warnings()) > 0 {
				t.Errorf("%s:%d: warnings %v", b.file, b.line, request.Warnings())
			}
			return err
		}
	}
	seen["runner"]++
	path := filepath.Join(t.TempDir(), "runner.yaml")
	if err := os.WriteFile(path, []byte(b.text), 0o600); err != nil {
		return err
	}
	_, err := config.Load(path, nil, nil)
	return err
}

// TestMistakesAsShown: the study file's example of errors is what such a file gets.
func TestMistakesAsShown(t *testing.T) {
	const file = "docs/study.md"
	text := blocks(t, file, "yaml")[0].text
	for _, mistake := range [][2]string{
		{"  seed: 42", "  sead: 42"},
		{"min: 6950000, max: 7050000", "min: 7050000, max: 6950000"},
		{"max: 0.002}\n    units: none", "max: 0.002}"},
	} {
		if !strings.Contains(text, mistake[0]) {
			t.Fatalf("the study has no %q", mistake[0])
		}
		text = strings.Replace(text, mistake[0], mistake[1], 1)
	}
	_, err := study.Parse([]byte(text), "orbit.yaml")
	if err == nil {
		t.Fatal("the file is valid")
	}
	place := regexp.MustCompile(`:\d+:\d+:`) // of a longer file, perhaps
	got := place.ReplaceAllString(err.Error(), ":")
	for line := range strings.Lines(blocks(t, file, "")[0].text) {
		if want := place.ReplaceAllString(strings.TrimSpace(line), ":"); !strings.Contains(got, want) {
			t.Errorf("%s shows\n%s\nit is\n%s", file, want, got)
		}
	}
}

// TestSettingsAreDocumented: the installed configuration files tell of every
// setting, set or in a comment.
func TestSettingsAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "configs/lynx-runner-basilisk.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range config.Paths() {
		key := path[strings.LastIndex(path, ".")+1:]
		if !regexp.MustCompile(`(?m)(^|[#{,])\s*`+key+`:`).Match(text) && !strings.Contains(string(text), path) {
			t.Errorf("configs/lynx-runner-basilisk.yaml says nothing of %s", path)
		}
	}
}
