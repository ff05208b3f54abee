package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/api"
)

// TestParquet reads back what `results` writes: the same columns as CSV, with
// types, nulls and units.
func TestParquet(t *testing.T) {
	f := newFar(t, script())
	path := filepath.Join(t.TempDir(), "results.parquet")
	if stdout, stderr, status := callerOf(f).lynxctl(t, "results", "last", "-o", path); status != ExitOK || stdout+stderr != "" {
		t.Fatalf("status %d: %s%s", status, stdout, stderr)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if units, ok := file.Lookup(parquetUnits); !ok || units != `{"mass":"kg"}` {
		t.Errorf("units %q", units)
	}
	csvText, _, _ := callerOf(f).lynxctl(t, "results", "last", "--format", "csv")
	header, _, _ := strings.Cut(csvText, "\n")
	var names []string
	for _, column := range file.Schema().Columns() {
		names = append(names, strings.Join(column, "/"))
	}
	if diff := cmp.Diff(strings.Split(header, ","), names); diff != "" {
		t.Errorf("columns (-csv +parquet):\n%s", diff)
	}
	want := []map[string]any{
		{
			"run_index": int64(0), "job_id": first0, "status": "Completed", "outcome": "completed", "parameters.mass": 12.5,
			"metrics.final_radius_km": 6980.25, "metrics.ok": 1.0, "wall_seconds": 10.125, "cpu_seconds": 9.5, "peak_memory_bytes": int64(1 << 20),
			"attempt": int64(1), "retries": int64(0), "requeues": int64(0), "assigned_runner": "lab-1", "directory": "/srv/0",
			"started_at": at(-50 * time.Second).UnixMicro(), "completed_at": at(-40 * time.Second).UnixMicro(),
		},
		{
			"run_index": int64(1), "job_id": first1, "status": "Failed", "outcome": "nonzero_exit", "error_message": hostile, "parameters.mass": -3.0,
			"metrics.early": -0.5, "wall_seconds": 0.0, "cpu_seconds": 0.0, "peak_memory_bytes": int64(0), "breach": "impact",
			"attempt": int64(2), "retries": int64(1), "requeues": int64(0), "directory": "/srv/1",
		},
	}
	if diff := cmp.Diff(want, readParquet(t, file, names)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestParquetOnATerminal(t *testing.T) {
	f := newFar(t, script())
	who := callerOf(f)
	who.width = 80
	stdout, stderr, status := who.lynxctl(t, "results", "last", "--format", "parquet")
	if status != ExitUsage || stdout != "" || !strings.Contains(stderr, "-o FILE") {
		t.Errorf("status %d, %d bytes: %s", status, len(stdout), stderr)
	}
}

// readParquet returns each row's values that are not null.
func readParquet(t *testing.T, file *parquet.File, names []string) (rows []map[string]any) {
	t.Helper()
	for _, group := range file.RowGroups() {
		reader := group.Rows()
		buffer := make([]parquet.Row, 10)
		for {
			n, err := reader.ReadRows(buffer)
			for _, row := range buffer[:n] {
				values := map[string]any{}
				for _, v := range row {
					switch {
					case v.IsNull():
					case v.Kind() == parquet.Int64:
						values[names[v.Column()]] = v.Int64()
					case v.Kind() == parquet.Double:
						values[names[v.Column()]] = v.Double()
					default:
						values[names[v.Column()]] = v.String()
					}
				}
				rows = append(rows, values)
			}
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		reader.Close()
	}
	return rows
}

// TestExportOfManyPages: rows of all pages, a metric that only the last run has,
// and more rows than a row group.
func TestExportOfManyPages(t *testing.T) {
	const runs = parquetGroup + 700
	calls := map[string]any{"GET /batches/b": api.BatchStatus{Batch: api.Batch{BatchID: "b", Status: api.BatchCompleted}}}
	for from := 0; from < runs; from += pageRows {
		page := api.BatchResults{BatchID: "b", Units: map[string]string{}}
		for i := from; i < min(from+pageRows, runs); i++ {
			row := api.RunRow{RunIndex: i, Parameters: map[string]float64{"x": float64(i) / 2}}
			if i == runs-1 {
				row.Metrics = map[string]float64{"rare": 7}
			}
			page.Items = append(page.Items, row)
		}
		call := "GET /batches/b/results?limit=500"
		if from > 0 {
			call = fmt.Sprintf("GET /batches/b/results?cursor=%d&limit=500", from)
		}
		if from+pageRows < runs {
			next := fmt.Sprint(from + pageRows)
			page.NextCursor = &next
		}
		calls[call] = page
	}
	f := newFar(t, calls)
	stdout, stderr, status := callerOf(f).lynxctl(t, "results", "b", "--format", "csv")
	records, err := csv.NewReader(strings.NewReader(stdout)).ReadAll()
	if err != nil || status != ExitOK || len(records) != runs+1 {
		t.Fatalf("status %d, %v, %d records; %s", status, err, len(records), stderr)
	}
	if got := records[runs][5:7]; records[0][6] != "metrics.rare" || got[0] != exact(float64(runs-1)/2) || got[1] != "7" || records[runs-1][6] != "" {
		t.Errorf("last record %v", records[runs])
	}
	stdout, _, status = callerOf(f).lynxctl(t, "results", "b", "--format", "parquet")
	file, err := parquet.OpenFile(strings.NewReader(stdout), int64(len(stdout)))
	if err != nil || status != ExitOK || file.NumRows() != runs || len(file.RowGroups()) != 2 {
		t.Fatalf("status %d, %v, %d rows", status, err, file.NumRows())
	}
}

// TestCSVText: whatever a job wrote, no cell begins a formula and nothing acts on
// a terminal.
func TestCSVText(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "": "", "-": "'-", "=1+1": "'=1+1", "+1": "'+1", "@x": "'@x", "  =1": "'  =1", `"=1"`: `'"=1"`, "a=1": "a=1", "＝1": "'＝1", "\t=1": `\t=1`,
	} {
		if got := csvText(in); got != want {
			t.Errorf("csvText(%q) = %q, want %q", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ "'\t\r\n=+@-]{0,4}.*`)).Draw(t, "text")
		got := csvText(text)
		if start := strings.TrimLeft(got, " \u00a0\"\t\r\n"); start != "" && strings.ContainsRune("=+-@＝＋－＠\t\r", []rune(start)[0]) {
			t.Fatalf("%q became %q", text, got)
		}
		if strings.ContainsFunc(got, acts) {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

// TestHarmless: JSON stays the same document.
func TestHarmless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune{'a', '\\', '"', 0x7f, 0x9b, 0x202e, 0x2066, '\n'}))).Draw(t, "text")
		var out bytes.Buffer
		if err := writeObject(&out, map[string]string{"k": text}); err != nil {
			t.Fatal(err)
		}
		var back map[string]string
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back["k"] != strings.ToValidUTF8(text, "\ufffd") {
			t.Fatalf("%q became %q (%v)", text, back["k"], err)
		}
		if strings.ContainsFunc(strings.ReplaceAll(out.String(), "\n", ""), acts) {
			t.Fatalf("%q became %q", text, out.String())
		}
	})
}

// TestOutputFile: whole or not at all, in place of what was there, through links,
// and never in place of a device or pipe.
func TestOutputFile(t *testing.T) {
	write := func(text string, err error) func(io.Writer) error {
		return func(w io.Writer) error {
			fmt.Fprint(w, text)
			return err
		}
	}
	names := func(dir string) (list []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			list = append(list, e.Name())
		}
		return list
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "results.csv")
	for _, text := range []string{"one", "two"} {
		if err := writeFile(nil, path, write(text, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeFile(nil, path, write("half", io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(nil, link, write("three", nil)); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "three" {
		t.Errorf("%q, %v", data, err)
	}
	if diff := cmp.Diff([]string{"link", "results.csv"}, names(dir)); diff != "" {
		t.Error(diff)
	}
	if err := writeFile(nil, os.DevNull, write("gone", nil)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(os.DevNull); err != nil || info.Mode()&os.ModeDevice == 0 {
		t.Errorf("%s is no device any more: %v", os.DevNull, err)
	}
	if err := writeFile(nil, filepath.Join(dir, "no", "such"), write("", nil)); ExitStatus(err) != ExitUsage {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// TestResultsThatBreakOff leave no file behind.
func TestResultsThatBreakOff(t *testing.T) {
	calls := script()
	next := "more"
	calls["GET /batches/"+newer+"/results?limit=500"] = api.BatchResults{BatchID: newer, Items: twoRows(), NextCursor: &next}
	calls["GET /batches/"+newer+"/results?cursor=more&limit=500"] = &api.Problem{Status: http.StatusInternalServerError, Detail: "no"}
	f := newFar(t, calls)
	for _, name := range []string{"r.csv", "r.json", "r.parquet", "r.txt"} {
		dir := t.TempDir()
		_, stderr, status := callerOf(f).lynxctl(t, "results", "last", "-o", filepath.Join(dir, name))
		entries, err := os.ReadDir(dir)
		if status != ExitUnreachable || err != nil || len(entries) != 0 {
			t.Errorf("%s: status %d, %v, %v: %s", name, status, entries, err, stderr)
		}
	}
}

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 190 << 20: "190.0 MiB", 3 << 60: "3072.0 PiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestExact(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 6991822.4: "6991822.4", -0.5: "-0.5", 1e20: "1e+20", 1e-9: "1e-09", 0.1: "0.1"} {
		if got := exact(v); got != want {
			t.Errorf("%v: %s, want %s", v, got, want)
		}
	}
}
