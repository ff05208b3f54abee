package telemetry

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/parquet-go/parquet-go"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

func writeLog(t *testing.T, data []byte) (logPath, table string) {
	t.Helper()
	dir := t.TempDir()
	logPath = filepath.Join(dir, "log")
	if err := os.WriteFile(logPath, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return logPath, filepath.Join(dir, "telemetry.parquet")
}

func TestWriteParquet(t *testing.T) {
	two := sample(10, "orbit.radius_km", 6990, "km")
	two.Values = append(two.Values, &telemetryv1.Value{Name: "mode", Value: math.NaN()})
	log := encoded(t, batch(1, sample(0, "orbit.radius_km", 7000, "km"), two), batch(2), batch(0, sample(-1, "é", math.Inf(-1), "")))
	log = appendRecord(log, recordCounters, counters{}.encode())
	log = append(log, "torn"...)
	logPath, table := writeLog(t, log)
	for range 2 { // The second replaces the first.
		if err := WriteParquet(t.Context(), logPath, table); err != nil {
			t.Fatal(err)
		}
	}
	got, err := parquet.ReadFile[row](table)
	if err != nil {
		t.Fatal(err)
	}
	want := []row{
		{0, "orbit.radius_km", 7000, "km"}, {10, "orbit.radius_km", 6990, "km"}, {10, "mode", math.NaN(), ""}, {-1, "é", math.Inf(-1), ""},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateNaNs()); diff != "" {
		t.Error(diff)
	}
	entries, err := os.ReadDir(filepath.Dir(table))
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	if info, err := os.Stat(table); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestParquetSchema(t *testing.T) {
	logPath, table := writeLog(t, encoded(t))
	if err := WriteParquet(t.Context(), logPath, table); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(table)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p, err := parquet.OpenFile(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	if p.NumRows() != 0 {
		t.Errorf("%d rows of no telemetry", p.NumRows())
	}
	var columns []string
	for _, c := range p.Root().Columns() {
		columns = append(columns, c.Name()+" "+c.Type().String())
	}
	if diff := cmp.Diff([]string{"time DOUBLE", "name STRING", "value DOUBLE", "unit STRING"}, columns); diff != "" {
		t.Error(diff)
	}
}

// A table that is no longer wanted is given up, and nothing of it is left.
func TestWriteParquetEndsWithItsContext(t *testing.T) {
	logPath, table := writeLog(t, encoded(t, batch(1, sample(0, "x", 1, ""))))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := WriteParquet(ctx, logPath, table); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(table)); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestWriteParquetErrors(t *testing.T) {
	logPath, table := writeLog(t, encoded(t))
	if err := WriteParquet(t.Context(), logPath+"x", table); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no log: %v", err)
	}
	if err := WriteParquet(t.Context(), logPath, filepath.Join(table, "x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	bad, table := writeLog(t, appendRecord(encoded(t), recordBatch, []byte{0xff}))
	if err := WriteParquet(t.Context(), bad, table); err == nil || !strings.Contains(err.Error(), "decoding") {
		t.Errorf("a bad batch: %v", err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(table)); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// Memory does not grow with the log: what is held is a row group at most.
func TestWriteParquetInGroups(t *testing.T) {
	s := &telemetryv1.Sample{}
	for range 4096 {
		s.Values = append(s.Values, &telemetryv1.Value{Name: "x", Value: 1})
	}
	raw, err := proto.Marshal(batch(1, s))
	if err != nil {
		t.Fatal(err)
	}
	log := encoded(t)
	for range 3 * rowGroupRows / 4096 {
		log = appendRecord(log, recordBatch, raw)
	}
	logPath, table := writeLog(t, log)
	if err := WriteParquet(t.Context(), logPath, table); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(table)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p, err := parquet.OpenFile(f, info.Size())
	if err != nil || p.NumRows() != 3*rowGroupRows || len(p.RowGroups()) != 3 {
		t.Errorf("%d rows in %d groups, %v", p.NumRows(), len(p.RowGroups()), err)
	}
}
