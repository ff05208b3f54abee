package cli

import (
	"encoding/json"
	"io"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"
)

const (
	// parquetGroup bounds the rows that are held in memory.
	parquetGroup = 1 << 14
	// parquetUnits is the key of the parameters' units in the file's metadata: a
	// JSON object.
	parquetUnits = "lynx.units"
)

// ordered is a group whose fields keep their order.
type ordered struct {
	parquet.Group

	names []string
}

// Fields implements parquet.Node.
func (o ordered) Fields() []parquet.Field {
	fields := o.Group.Fields()
	slices.SortFunc(fields, func(a, b parquet.Field) int {
		return slices.Index(o.names, a.Name()) - slices.Index(o.names, b.Name())
	})
	return fields
}

// parquetSchema has one optional column for each of the export's.
func parquetSchema(columns []exportColumn) *parquet.Schema {
	group := ordered{Group: parquet.Group{}}
	for _, c := range columns {
		var node parquet.Node
		switch c.kind {
		case wholeNumber:
			node = parquet.Int(64)
		case realNumber:
			node = parquet.Leaf(parquet.DoubleType)
		case textual:
			node = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
		case instant:
			node = parquet.Timestamp(parquet.Microsecond)
		}
		group.names = append(group.names, c.name)
		group.Group[c.name] = parquet.Compressed(parquet.Optional(node), &parquet.Zstd)
	}
	return parquet.NewSchema("run", group)
}

// writeParquet writes the rows as a Parquet file, a group of rows at a time.
func writeParquet(w io.Writer, e *export) error {
	units, err := json.Marshal(e.units)
	if err != nil {
		return err
	}
	out := parquet.NewGenericWriter[any](w, parquetSchema(e.columns),
		parquet.MaxRowsPerRowGroup(parquetGroup), parquet.KeyValueMetadata(parquetUnits, string(units)))
	for row, err := range e.rows() {
		if err != nil {
			return err
		}
		values := make(parquet.Row, len(e.columns))
		for i, c := range e.columns {
			values[i] = parquetValue(c.value(row), i)
		}
		if _, err := out.WriteRows([]parquet.Row{values}); err != nil {
			return writeFailed(err)
		}
	}
	return writeFailed(out.Close())
}

// parquetValue is a value of an optional column.
func parquetValue(value any, column int) parquet.Value {
	if t, ok := value.(time.Time); ok {
		value = t.UnixMicro()
	}
	if value == nil {
		return parquet.NullValue().Level(0, 0, column)
	}
	return parquet.ValueOf(value).Level(0, 1, column)
}
