package strictyaml_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/internal/strictyaml"
)

func TestParseErrors(t *testing.T) {
	tests := []struct{ name, document, want string }{
		{"empty", "", "f: the document is empty"},
		{"comment only", "# nothing\n", "f: the document is empty"},
		{"two documents", "a: 1\n---\na: 2\n", "f:2:1: a second document begins here; want one document only"},
		{"broken second document", "a: 1\n---\na: [\n", "f:4:1: not valid YAML: did not find expected node content"},
		{"unclosed list", "a: [1\n", "f:2:1: not valid YAML: did not find expected ',' or ']'"},
		{"unclosed quote", "a: \"x\n", "f:2:1: not valid YAML: found unexpected end of stream"},
		{"indentation", "a: 1\n b: 2\n", "f:2:3: not valid YAML: mapping values are not allowed in this context"},
		{"tab", "\ta: 1", "f:1:1: not valid YAML: found character that cannot start any token"},
		{"unknown alias", "a: *x\n", "f:1:4: not valid YAML: unknown anchor 'x' referenced"},
		{"alias of itself", "a: &x [*x]\n", "f:1:4: nested deeper than 32 levels, or an alias of itself"},
		{"control character", "a: 1\nb: \x1b[31m", "f:2:4: the control character U+001B is not accepted"},
		{"not UTF-8", "a: 1\nbé: \xff", "f:2:5: the byte 0xff is not UTF-8 text"},
		{"UTF-16", "\xff\xfea\x00", "f:1:1: the byte 0xff is not UTF-8 text"},
		{"too large", "a: " + strings.Repeat("x", strictyaml.MaxBytes), fmt.Sprintf("f: the document has %d bytes; the limit is 1048576", strictyaml.MaxBytes+3)},
		{"too deep", strings.Repeat("[", 40) + strings.Repeat("]", 40), "f:1:34: nested deeper than 32 levels, or an alias of itself"},
		{"far too deep", strings.Repeat("[", 100_000), "f:1:129: not valid YAML: exceeded max depth of 128"},
		{"too many values", "[" + strings.Repeat("1,", 100_000) + "]", "f:1:200000: the document has more than 100000 values (aliases counted as what they stand for)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := strictyaml.Parse([]byte(test.document), "f")
			if diff := cmp.Diff(test.want, fmt.Sprint(err)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestAliasBomb: nine levels of nine aliases are 387 million values.
func TestAliasBomb(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 9; i++ {
		alias := fmt.Sprintf("*a%d", i-1)
		fmt.Fprintf(&bomb, "a%d: &a%d [%s]\n", i, i, strings.Join([]string{alias, alias, alias, alias, alias, alias, alias, alias, alias}, ","))
	}
	_, err := strictyaml.Parse([]byte(bomb.String()), "f")
	if err == nil || !strings.Contains(err.Error(), "more than 100000 values") {
		t.Errorf("got %v", err)
	}
}

func TestLongKey(t *testing.T) {
	key := strings.Repeat("k", strictyaml.MaxKeyBytes+1)
	doc, err := strictyaml.Parse([]byte(key+": {a: 1}\nb: 2\n"), "f")
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Err(); err == nil || !strings.Contains(err.Error(), "is longer than 128 bytes") || len(err.Error()) > 300 {
		t.Errorf("got %v", err)
	}
	if !doc.Has("b") || doc.Has(key) {
		t.Error("want the other key kept and the long one dropped")
	}
}

// TestErrorsAreBounded: a document with very many mistakes makes a short report
// that counts the rest.
func TestErrorsAreBounded(t *testing.T) {
	var document strings.Builder
	for i := range 500 {
		fmt.Fprintf(&document, "k%d: x\n", i)
	}
	var into map[string]float64
	err := strictyaml.Decode([]byte(document.String()), "f", &into)
	var list *strictyaml.Errors
	if !errors.As(err, &list) {
		t.Fatalf("got %v", err)
	}
	if n := len(list.List); n != strictyaml.MaxErrors+1 {
		t.Errorf("%d errors", n)
	}
	if last := list.List[len(list.List)-1]; last.Message != "and 400 more errors" {
		t.Errorf("the last error is %v", last)
	}
}

func TestHas(t *testing.T) {
	doc, err := strictyaml.Parse([]byte("a.b: {c: [1, {d: ~}]}\na: {b.c: 1, \"x y\": 2}\ne: &e {f: 1}\ng: *e\n"), "f")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"": true, "a": true, "a.b": true, "a.b.c": true, "a.b.c[0]": true, "a.b.c[1].d": true, "g.f": true,
		`a."x y"`: true, "a.x y": false, "a.b.c[2]": false, "a.b.c[1].d.e": false, "b": false, "a.": false, "a.b.c[": false, "ab": false, "e.f.g": false,
	} {
		if got := doc.Has(path); got != want {
			t.Errorf("Has(%q) = %v", path, got)
		}
	}
}

// TestErrorf: semantic errors get the line of their value, or of what encloses it,
// and only the first error at a place counts.
func TestErrorf(t *testing.T) {
	doc, err := strictyaml.Parse([]byte("a:\n  b: 1\n  c:\n    - x\n    - y: 2\nslots: many\n"), "f")
	if err != nil {
		t.Fatal(err)
	}
	var into struct {
		A     any `yaml:"a"`
		Slots int `yaml:"slots"`
	}
	if err := doc.Decode(&into); err == nil {
		t.Error("want an error about slots")
	}
	doc.Errorf("slots", "%d is too small", into.Slots)
	doc.Errorf("slots.x[1]", "is below a value that has an error")
	doc.Errorf("a.c[1].y", "first")
	doc.Errorf("a.c[1].y", "second")
	doc.Errorf("a.c[1].z", "is missing")
	doc.Errorf("a.b.c.d", "is missing")
	doc.Errorf("nowhere", "has a\nline feed")
	want := strings.Join([]string{
		"f:1:1: nowhere: has a�line feed",
		"f:2:6: a.b.c.d: is missing",
		"f:5:7: a.c[1].z: is missing",
		"f:5:10: a.c[1].y: first",
		`f:6:8: slots: got "many"; want a whole number`,
	}, "\n")
	if diff := cmp.Diff(want, fmt.Sprint(doc.Err())); diff != "" {
		t.Error(diff)
	}
}

func TestErrorString(t *testing.T) {
	for want, e := range map[string]strictyaml.Error{
		"f:1:2: a.b: wrong": {File: "f", Line: 1, Column: 2, Path: "a.b", Message: "wrong"},
		"f:1:2: wrong":      {File: "f", Line: 1, Column: 2, Message: "wrong"},
		"f: a: wrong":       {File: "f", Path: "a", Message: "wrong"},
		"a: wrong":          {Path: "a", Message: "wrong"},
		"wrong":             {Message: "wrong"},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
