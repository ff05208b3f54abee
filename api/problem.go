package api

import (
	"fmt"
	"strings"
)

// ProblemType is the media type of a [Problem].
const ProblemType = "application/problem+json"

// Problem is what the platform answers a request with that it refuses, after
// RFC 9457. It is the error that the client's methods return for it.
type Problem struct {
	// Type tells kinds of problems apart; "about:blank" means that Status says all.
	Type string `json:"type" doc:"A URI for the kind of problem; about:blank if the status says all."`
	// Title is Status in words.
	Title  string `json:"title"`
	Status int    `json:"status" doc:"The HTTP status code."`
	// Detail is a sentence for people: what is wrong and what would be right.
	Detail string `json:"detail"`
	// Errors name each bad field, in the order of the document.
	Errors []FieldError `json:"errors,omitempty" nullable:"false" doc:"Each bad field, in the order of the document."`
}

// FieldError is one thing wrong with one field of a request.
type FieldError struct {
	// Path is dotted, as "config.monte_carlo.runs", or "query.limit" for what is
	// not in the body. It is empty for the document as a whole.
	Path string `json:"path" doc:"Dotted path of the field; empty for the document as a whole."`
	// Line and Column are 1-based places in the submitted document, 0 if the
	// field has none.
	Line    int    `json:"line" doc:"Line in the submitted document, from 1; 0 if there is none."`
	Column  int    `json:"column" doc:"Column in the submitted document, from 1; 0 if there is none."`
	Message string `json:"message"`
}

// Error gives the detail and, on lines of their own, each field's error.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Detail)
	if p.Detail == "" {
		fmt.Fprintf(&b, "%d %s", p.Status, p.Title)
	}
	for _, e := range p.Errors {
		b.WriteString("\n" + e.Error())
	}
	return b.String()
}

// GetStatus returns the HTTP status code.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType returns the media type of a problem, whatever was asked for.
func (p *Problem) ContentType(string) string { return ProblemType }

// Error gives "LINE:COLUMN: PATH: MESSAGE", less what is not known.
func (e FieldError) Error() string {
	var parts []string
	if e.Line > 0 {
		parts = append(parts, fmt.Sprintf("%d:%d", e.Line, e.Column))
	}
	if e.Path != "" {
		parts = append(parts, e.Path)
	}
	return strings.Join(append(parts, e.Message), ": ")
}
