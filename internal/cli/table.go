package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table prints rows of text in aligned columns. A header that is much wider than
// its column is broken at underscores and dots over several lines, so that seven
// long parameter names still fit on a screen. Cells are escaped: they may come
// from a job.
type table struct {
	headers []string
	// right says which columns hold numbers, aligned to the right.
	right []bool
	rows  [][]string
}

// column adds a column; numbers are aligned to the right.
func (t *table) column(header string, number bool) {
	t.headers = append(t.headers, escape(header))
	t.right = append(t.right, number)
}

// row adds a row with one cell for each column.
func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = escape(cells[i])
	}
	t.rows = append(t.rows, cells)
}

// write prints the table with two spaces between columns.
func (t *table) write(w io.Writer) error {
	widths := make([]int, len(t.headers))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	heads, height := make([][]string, len(t.headers)), 0
	for i, header := range t.headers {
		heads[i] = breakHeader(header, widths[i])
		for _, line := range heads[i] {
			widths[i] = max(widths[i], utf8.RuneCountInString(line))
		}
		height = max(height, len(heads[i]))
	}
	var out strings.Builder
	for line := range height {
		cells := make([]string, len(heads))
		for i, head := range heads {
			// Headers stand on the bottom line.
			if k := line - (height - len(head)); k >= 0 {
				cells[i] = head[k]
			}
		}
		t.writeLine(&out, widths, cells)
	}
	for _, row := range t.rows {
		t.writeLine(&out, widths, row)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func (t *table) writeLine(out *strings.Builder, widths []int, cells []string) {
	line := ""
	for i, cell := range cells {
		if i > 0 {
			line += "  "
		}
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if t.right[i] {
			line += pad + cell
		} else {
			line += cell + pad
		}
	}
	out.WriteString(strings.TrimRight(line, " ") + "\n")
}

// breakHeader splits a header after underscores and dots into as few lines of at
// most width runes as it can; a single part may be longer.
func breakHeader(header string, width int) []string {
	width = max(width, 6)
	var lines []string
	line := ""
	for _, part := range strings.SplitAfter(header, " ") {
		for _, piece := range splitAfterAny(part, "_.") {
			if line != "" && utf8.RuneCountInString(line+strings.TrimRight(piece, " ")) > width {
				lines = append(lines, strings.TrimRight(line, " "))
				line = ""
			}
			line += piece
		}
	}
	return append(lines, strings.TrimRight(line, " "))
}

// splitAfterAny splits s after each rune of seps, keeping the separators.
func splitAfterAny(s, seps string) []string {
	var parts []string
	for {
		i := strings.IndexAny(s, seps)
		if i < 0 || i == len(s)-1 {
			return append(parts, s)
		}
		parts = append(parts, s[:i+1])
		s = s[i+1:]
	}
}

// escape makes text from a job harmless on a terminal: control characters and
// invalid UTF-8 are shown as Go escapes.
func escape(s string) string {
	clean := true
	for _, r := range s {
		if r == utf8.RuneError || r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	quoted := fmt.Sprintf("%+q", s)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
