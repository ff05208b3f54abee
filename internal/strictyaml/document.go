// Package strictyaml decodes YAML and JSON documents that people write, and
// tells them everything that is wrong with one at once, by line.
//
// # Why not the library's own decoder
//
// The library parses; what it makes of a document is too lenient for a file that
// decides what a machine does. Here an unknown key is an error that names the
// nearest valid one, a duplicate key is an error, `version: 1.0` is not a text,
// `010` is not silently 8, infinity and NaN are no numbers, tags (`!!float`) and
// merge keys (`<<`) are refused. Anchors and aliases work. JSON is YAML, so one
// decoder serves both.
//
// # Use
//
// Decode is for a document whose types say everything:
//
//	var c Config
//	err := strictyaml.Decode(data, "runner.yaml", &c)
//
// Keys are the `yaml` tags of the struct's fields. The tag `strict:"required"`
// makes a key mandatory. A type that needs more implements Decoder or
// encoding.TextUnmarshaler.
//
// What types can't say is checked after decoding, on the same Document, so that
// these errors have lines too and are reported together with the others:
//
//	doc, err := strictyaml.Parse(data, name)
//	...
//	doc.Decode(&c)
//	if c.Slots < 1 {
//		doc.Errorf("slots", "%d is too small; want at least 1", c.Slots)
//	}
//	err = doc.Err()
//
// A check need not ask whether decoding succeeded: Errorf ignores a path that
// already has an error.
//
// # Bounds
//
// A document may come from anybody: its size, depth, number of values (aliases
// expanded) and the length of its keys and of the report are bounded. Messages
// quote what the document says, so they hold no control characters.
package strictyaml

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"
)

// The bounds of a document.
const (
	// MaxBytes is the size of the text.
	MaxBytes = 1 << 20
	// MaxDepth is the nesting of mappings and lists.
	MaxDepth = 32
	// MaxValues is the number of keys and values, with aliases expanded.
	MaxValues = 100_000
	// MaxKeyBytes is the length of a key.
	MaxKeyBytes = 128
)

// Document is a parsed document and the errors found in it so far. It is not
// safe for concurrent use.
type Document struct {
	file     string
	root     *yaml.Node
	values   int
	errs     []Error
	dropped  int
	reported map[string]bool
}

// Decode parses one YAML or JSON document strictly into the struct that into
// points to, by its `yaml` tags. Its error is an *Errors with everything that is
// wrong; into then holds what could be decoded. file is for the messages only.
func Decode(data []byte, file string, into any) error {
	doc, err := Parse(data, file)
	if err != nil {
		return err
	}
	return doc.Decode(into)
}

// Decode decodes the document into the struct that into points to and returns
// Err().
func (d *Document) Decode(into any) error {
	d.Root().Decode(into)
	return d.Err()
}

// Root is the document's value.
func (d *Document) Root() Value { return Value{doc: d, node: d.root} }

// Has reports whether the document has a value at the path, even an empty one.
func (d *Document) Has(path string) bool {
	_, exact := find(d.root, path)
	return exact
}

// Errorf adds an error about the value at the path. Its line is the value's, or
// that of the nearest enclosing value which exists. Where the same value or one
// around it already has an error, this one is a consequence and is left out.
func (d *Document) Errorf(path, format string, args ...any) {
	if d.isReported(path) {
		return
	}
	var node *yaml.Node
	if len(d.errs) < MaxErrors { // beyond, errors are counted only, and finding is slow
		node, _ = find(d.root, path)
	}
	d.add(node, path, fmt.Sprintf(format, args...))
}

// Err is an *Errors with every error so far, in the order of the lines, or nil.
func (d *Document) Err() error {
	if len(d.errs) == 0 {
		return nil
	}
	list := slices.Clone(d.errs)
	sortErrors(list)
	if d.dropped > 0 {
		list = append(list, Error{File: d.file, Message: fmt.Sprintf("and %d more errors", d.dropped)})
	}
	return &Errors{List: list}
}

// add records an error at a node.
func (d *Document) add(node *yaml.Node, path, message string) {
	d.markReported(path)
	if len(d.errs) >= MaxErrors {
		d.dropped++
		return
	}
	e := Error{File: d.file, Path: path, Message: clean(message)}
	if node != nil {
		e.Line, e.Column = node.Line, node.Column
	}
	d.errs = append(d.errs, e)
}

func (d *Document) markReported(path string) {
	if d.reported == nil {
		d.reported = map[string]bool{}
	}
	d.reported[path] = true
}

// isReported looks the path and everything around it up.
func (d *Document) isReported(path string) bool {
	for {
		if d.reported[path] {
			return true
		}
		if path == "" {
			return false
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
}

// Join appends a key to a path. Keys that aren't plain words are quoted, so that
// a path is printable whatever the document says.
func Join(path, key string) string {
	if !plainKey(key) {
		key = strconv.Quote(key)
	}
	return attach(path, key)
}

// Index appends a list index to a path.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// attach puts a dot between a path and a segment where there has to be one.
func attach(path, segment string) string {
	if path == "" || segment[0] == '[' {
		return path + segment
	}
	return path + "." + segment
}

func plainKey(key string) bool {
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_.-", r)
	})
}

// find returns the value at a path below node, or else the deepest one on the way
// to it. Keys may contain dots, so every key that the path continues with is
// tried.
func find(node *yaml.Node, path string) (found *yaml.Node, exact bool) {
	if path == "" {
		return node, true
	}
	found = node
	for key, child := range children(node) {
		rest, ok := strings.CutPrefix(path, key)
		if !ok || rest == "." || rest != "" && rest[0] != '.' && rest[0] != '[' {
			continue
		}
		if found, exact = find(child, strings.TrimPrefix(rest, ".")); exact {
			return found, true
		}
	}
	return found, false
}

// children yields the path segments and values directly below a node.
func children(node *yaml.Node) func(func(string, *yaml.Node) bool) {
	return func(yield func(string, *yaml.Node) bool) {
		if node == nil {
			return
		}
		switch node.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(node.Content); i += 2 {
				if !yield(Join("", node.Content[i].Value), node.Content[i+1]) {
					return
				}
			}
		case yaml.SequenceNode:
			for i, child := range node.Content {
				if !yield(Index("", i), child) {
					return
				}
			}
		}
	}
}

// clean replaces control and other unprintable characters, which would reach
// terminals and logs.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '�'
	}, s)
}
