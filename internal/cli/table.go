package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	// headerLines is the most lines that a header is broken over.
	headerLines = 3
	// pipeWidth is the width that headers are broken for where nobody's terminal
	// has one.
	pipeWidth = 100
	gap       = "  "
)

// table prints rows of text in aligned columns. Headers are broken at spaces,
// underscores and dots over as few lines as let the table fit; a table that does
// not fit even so is printed in several blocks of columns, each with the first
// column. Cells are escaped: they may come from a job.
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

// write prints the table for a terminal of so many columns; 0 is no terminal,
// for which lines are as long as they have to be.
func (t *table) write(w io.Writer, width int) error {
	heads, widths, blocks := t.layout(width)
	if width == 0 {
		blocks = [][]int{indices(len(widths))}
	}
	var out strings.Builder
	for i, block := range blocks {
		if i > 0 {
			out.WriteByte('\n')
		}
		t.writeBlock(&out, heads, widths, block)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// layout breaks the headers over as few lines as give the fewest blocks.
func (t *table) layout(width int) (heads [][]string, widths []int, blocks [][]int) {
	if width == 0 {
		width = pipeWidth
	}
	for lines := 1; lines <= headerLines; lines++ {
		h, w := t.layoutIn(lines)
		if b := split(w, width); blocks == nil || len(b) < len(blocks) {
			heads, widths, blocks = h, w, b
		}
	}
	return heads, widths, blocks
}

// layoutIn breaks each header over at most so many lines.
func (t *table) layoutIn(lines int) (heads [][]string, widths []int) {
	for i, header := range t.headers {
		width := 0
		for _, row := range t.rows {
			width = max(width, utf8.RuneCountInString(row[i]))
		}
		head := breakHeader(header, width)
		for len(head) > lines {
			width++
			head = breakHeader(header, width)
		}
		for _, line := range head {
			width = max(width, utf8.RuneCountInString(line))
		}
		heads, widths = append(heads, head), append(widths, width)
	}
	return heads, widths
}

func indices(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// total is the width of a block of columns.
func total(widths, block []int) int {
	sum := len(gap) * (len(block) - 1)
	for _, i := range block {
		sum += widths[i]
	}
	return sum
}

// split makes blocks of columns that each fit, beginning with the first column;
// a column that is too wide has a block to itself.
func split(widths []int, width int) [][]int {
	var blocks [][]int
	block := []int{0}
	for i := 1; i < len(widths); i++ {
		if next := append(block, i); len(block) > 1 && total(widths, next) > width {
			blocks = append(blocks, block)
			block = []int{0, i}
			continue
		}
		block = append(block, i)
	}
	return append(blocks, block)
}

// writeBlock prints some of the columns.
func (t *table) writeBlock(out *strings.Builder, heads [][]string, widths, block []int) {
	height := 0
	for _, i := range block {
		height = max(height, len(heads[i]))
	}
	for line := range height {
		t.writeLine(out, widths, block, func(i int) string {
			// Headers stand on the bottom line.
			if k := line - (height - len(heads[i])); k >= 0 {
				return heads[i][k]
			}
			return ""
		})
	}
	for _, row := range t.rows {
		t.writeLine(out, widths, block, func(i int) string { return row[i] })
	}
}

func (t *table) writeLine(out *strings.Builder, widths, block []int, cell func(int) string) {
	line := ""
	for k, i := range block {
		if k > 0 {
			line += gap
		}
		text := cell(i)
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
		if t.right[i] {
			line += pad + text
		} else {
			line += text + pad
		}
	}
	out.WriteString(strings.TrimRight(line, " ") + "\n")
}

// breakHeader splits a header after spaces, underscores and dots into lines of at
// most width runes; a single part may be longer.
func breakHeader(header string, width int) []string {
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
// invalid UTF-8 are shown as Go escapes, and so are the marks that change the
// direction of the text around them.
func escape(s string) string {
	clean := true
	for _, r := range s {
		if acts(r) {
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

// acts reports whether a terminal would do something else with r than show it.
func acts(r rune) bool {
	return r == utf8.RuneError || r < ' ' || r >= 0x7f && r < 0xa0 ||
		r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}
