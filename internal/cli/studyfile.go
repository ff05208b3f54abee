package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/tetryx/lynx-runner/internal/strictyaml"
	"github.com/tetryx/lynx-runner/internal/study"
)

// maxStudyFile bounds a study file, in bytes: what a platform accepts.
const maxStudyFile = 16 << 20

// studyFile is a study as it was read.
type studyFile struct {
	*study.Request
	// order is the names of the dispersions in the order of the file.
	order []string
	// text is the file's.
	text []byte
}

// readStudy reads and checks a study file; an error is ready to be printed and
// has its exit status.
func readStudy(path string) (*studyFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, exit(ExitUsage, fmt.Errorf("study file: %w", err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxStudyFile+1))
	if err != nil {
		return nil, exit(ExitUsage, fmt.Errorf("study file %s: %w", path, err))
	}
	if len(data) > maxStudyFile {
		return nil, exit(ExitUsage, fmt.Errorf("study file %s is larger than %d MiB", path, maxStudyFile>>20))
	}
	return parseStudy(data, path)
}

// parseStudy is readStudy of a text that was read from path.
func parseStudy(data []byte, path string) (*studyFile, error) {
	request, err := study.Parse(data, path)
	if err != nil {
		return nil, exit(ExitUsage, studyError(path, err))
	}
	return &studyFile{Request: request, order: dispersionOrder(data, path, request), text: data}, nil
}

// dispersionOrder is the names of a study's dispersions in the order of its file,
// which is how its author thinks of them. Those that the file does not name in
// one place (YAML can merge mappings) come last.
func dispersionOrder(data []byte, path string, request *study.Request) []string {
	all := request.Config.Dispersions
	order := make([]string, 0, len(all))
	if doc, err := strictyaml.Parse(data, path); err == nil {
		root := doc.Root()
		if config, ok := root.Field("config"); ok {
			root = config
		}
		dispersions, _ := root.Field("dispersions")
		for _, name := range dispersions.Keys() {
			if _, ok := all[name]; ok {
				order = append(order, name)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(order, name) {
			order = append(order, name)
		}
	}
	return order
}

// studyError adds a closing line that counts the errors.
func studyError(path string, err error) error {
	var all *strictyaml.Errors
	if !errors.As(err, &all) {
		return err
	}
	noun := "errors"
	if len(all.List) == 1 {
		noun = "error"
	}
	return fmt.Errorf("%w\n%s: %d %s", err, path, len(all.List), noun)
}

// applyRuns lets a flag override the number of runs; 0 leaves the study's.
func applyRuns(request *study.Request, runs int) error {
	if runs == 0 {
		return nil
	}
	if err := request.SetRuns(runs); err != nil {
		return exit(ExitUsage, fmt.Errorf("--runs %d: %w", runs, err))
	}
	return nil
}
