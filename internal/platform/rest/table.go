package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/parquet-go/parquet-go"
)

// rowsAtOnce is how many rows of a telemetry table are held at a time.
const rowsAtOnce = 4096

// tableRow is one line of telemetry.parquet: one value of one variable.
type tableRow struct {
	Time  float64 `parquet:"time"`
	Name  string  `parquet:"name,dict"`
	Value float64 `parquet:"value"`
	Unit  string  `parquet:"unit,dict"`
}

// readTable adds every row of a telemetry table to a plot. It reads the table as
// a stream: memory does not grow with it.
func readTable(ctx context.Context, f *os.File, size int64, p *plot) (err error) {
	defer func() {
		// The library trusts what is in a file more than this platform trusts a
		// runner.
		if r := recover(); r != nil {
			err = fmt.Errorf("reading the telemetry table: %v", r)
		}
	}()
	table, err := parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return fmt.Errorf("reading the telemetry table: %w", err)
	}
	r := parquet.NewGenericReader[tableRow](table)
	defer func() { _ = r.Close() }()
	rows := make([]tableRow, rowsAtOnce)
	for {
		n, err := r.Read(rows)
		for i := range rows[:n] {
			p.add(rows[i].Time, rows[i].Name, rows[i].Value, rows[i].Unit)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading the telemetry table: %w", err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}
