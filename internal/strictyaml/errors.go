package strictyaml

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// MaxErrors bounds the list of an Errors; what is beyond is counted in a last
// entry, so that a hostile document can't make a report longer than itself.
const MaxErrors = 100

// Error is one thing wrong with a document.
type Error struct {
	// File is the name that the caller gave.
	File string
	// Line and Column count from 1; 0 where the place is not known.
	Line, Column int
	// Path is the dotted path of the value, `conditions[2].units`; empty for the
	// document itself.
	Path string
	// Message says what is wrong, with the offending value, and what would be
	// right. It contains no control characters.
	Message string
}

// Error is "FILE:LINE:COL: PATH: MESSAGE", without the parts that are empty.
func (e Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	for _, part := range []string{e.Path, e.Message} {
		if part != "" && b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(part)
	}
	return b.String()
}

// Errors is everything wrong with a document, in the order of the lines.
type Errors struct {
	// List has at least one element, and at most MaxErrors + 1.
	List []Error
}

// Error joins the errors, one a line.
func (e *Errors) Error() string {
	lines := make([]string, len(e.List))
	for i, one := range e.List {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.As find each Error.
func (e *Errors) Unwrap() []error {
	list := make([]error, len(e.List))
	for i, one := range e.List {
		list[i] = one
	}
	return list
}

// sortErrors puts errors in the order of the document; errors at one place keep
// the order in which they were found.
func sortErrors(list []Error) {
	slices.SortStableFunc(list, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}
