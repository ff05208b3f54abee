package rest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tetryx/lynx-runner/internal/platform/rest"
)

// Every golden answer is what the OpenAPI document says that it is: each field is
// documented, of the documented type, and there if it is required.
func TestAnswersAreAsDocumented(t *testing.T) {
	doc := rest.Document()
	schemas := map[string]string{
		"health": "Health", "submission": "Submission", "batch_results": "BatchResults",
		"batches": "PageBatch", "jobs_failed": "PageJob", "runners": "PageRunner",
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		kind, _, _ := strings.Cut(name, "_")
		want, ok := schemas[name]
		if !ok {
			want = map[string]string{"batch": "BatchStatus", "job": "Job", "result": "JobResult", "runner": "Runner", "artifacts": "ArtifactList", "telemetry": "Telemetry"}[kind]
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var answer any
		if err := json.Unmarshal(data, &answer); err != nil {
			t.Fatal(err)
		}
		schema := doc.Components.Schemas.Map()[want]
		if schema == nil {
			t.Fatalf("%s: no schema %q", name, want)
		}
		var res huma.ValidateResult
		huma.Validate(doc.Components.Schemas, schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, answer, &res)
		for _, err := range res.Errors {
			t.Errorf("%s is no %s: %v", name, want, err)
		}
	}
}
