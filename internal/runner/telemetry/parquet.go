package telemetry

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/parquet-go/parquet-go"
)

// Rows held in memory: those of a row group, and those handed over at once.
const (
	rowGroupRows = 1 << 18
	rowBuffer    = 1 << 10
)

// row is one line of telemetry.parquet: one value of one variable.
type row struct {
	Time  float64 `parquet:"time,zstd"`
	Name  string  `parquet:"name,dict,zstd"`
	Value float64 `parquet:"value,zstd"`
	Unit  string  `parquet:"unit,dict,zstd"`
}

// WriteParquet makes a Parquet file of a telemetry log: one row for each value,
// in the order of arrival, with the columns time (double, seconds of simulation
// time), name (string), value (double, may be NaN or infinite) and unit (string,
// as reported). A log without samples gives a table without rows.
//
// The log is read as a stream, and memory does not grow with it. The file
// appears at parquetPath whole, or not at all; one that is there is replaced. It is
// not synced: the log stays until the caller has done that. A log with a torn end is
// taken as far as it is whole. The end of ctx ends it within a record.
func WriteParquet(ctx context.Context, logPath, parquetPath string) (err error) {
	log, err := os.Open(logPath)
	if err != nil {
		return fmt.Errorf("opening the telemetry log: %w", err)
	}
	defer func() { _ = log.Close() }()
	dir := filepath.Dir(parquetPath)
	temp, err := os.CreateTemp(dir, ".telemetry-*.parquet")
	if err != nil {
		return fmt.Errorf("creating the telemetry table: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("writing the telemetry table: %w", err), ignore(temp.Close(), os.ErrClosed), ignore(os.Remove(temp.Name()), os.ErrNotExist))
		}
	}()
	buffered := bufio.NewWriterSize(temp, 256<<10)
	if err := writeRows(ctx, log, buffered); err != nil {
		return err
	}
	if err := errors.Join(buffered.Flush(), temp.Chmod(0o644), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), parquetPath)
}

// writeRows copies a log's values to a Parquet stream.
func writeRows(ctx context.Context, log io.Reader, out io.Writer) error {
	w := parquet.NewGenericWriter[row](out, parquet.MaxRowsPerRowGroup(rowGroupRows))
	rows := make([]row, 0, rowBuffer)
	flush := func() error {
		_, err := w.Write(rows)
		rows = rows[:0]
		return err
	}
	r := newLogReader(log)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		kind, payload, err := r.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errTorn) {
			return errors.Join(flush(), w.Close())
		}
		if err != nil {
			return err
		}
		if kind != recordBatch {
			continue
		}
		batch, err := decodeBatch(payload)
		if err != nil {
			return err
		}
		for _, s := range batch.GetSamples() {
			for _, v := range s.GetValues() {
				rows = append(rows, row{Time: s.GetTimeSeconds(), Name: v.GetName(), Value: v.GetValue(), Unit: v.GetUnit()})
				if len(rows) < rowBuffer {
					continue
				}
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
}

func ignore(err, target error) error {
	if errors.Is(err, target) {
		return nil
	}
	return err
}
