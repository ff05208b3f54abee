package strictyaml

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// Parse reads exactly one document and checks its form: syntax, bounds, and that
// it has neither tags nor merge keys. Its error, an *Errors, means that there is
// nothing to decode; what is wrong with single keys is kept for Document.Err.
func Parse(data []byte, file string) (*Document, error) {
	doc := &Document{file: file}
	if len(data) > MaxBytes {
		doc.add(nil, "", fmt.Sprintf("the document has %d bytes; the limit is %d", len(data), MaxBytes))
		return nil, doc.Err()
	}
	data = joinSurrogates(data)
	problem := checkText(data)
	var root *yaml.Node
	if problem == nil {
		root, problem = load(data)
	}
	if problem != nil {
		problem.File = file
		return nil, &Errors{List: []Error{*problem}}
	}
	doc.root = root
	if fatal := doc.normalize(root, "", 0); fatal != nil {
		fatal.File = file
		return nil, &Errors{List: []Error{*fatal}}
	}
	return doc, nil
}

// checkText finds what no parser should see: bytes that aren't UTF-8, and control
// characters.
func checkText(data []byte) *Error {
	line, column := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return &Error{Line: line, Column: column, Message: fmt.Sprintf("the byte 0x%02x is not UTF-8 text", data[i])}
		case r == '\n':
			line, column = line+1, 0
		case unicode.IsControl(r) && r != '\t' && r != '\r':
			return &Error{Line: line, Column: column, Message: fmt.Sprintf("the control character U+%04X is not accepted", r)}
		}
		i += size
		column++
	}
	return nil
}

// surrogates finds the JSON escape of a character beyond U+FFFF, which is two
// escapes, and steps over every other one.
var surrogates = regexp.MustCompile(`\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\.`)

// joinSurrogates replaces surrogate pairs in JSON by the character itself: they are
// the one thing in JSON that is not YAML.
func joinSurrogates(data []byte) []byte {
	if !bytes.Contains(bytes.ToLower(data), []byte(`\ud`)) || !json.Valid(data) {
		return data
	}
	return surrogates.ReplaceAllFunc(data, func(escape []byte) []byte {
		if len(escape) < len(`\ud83d\ude00`) {
			return escape
		}
		var character string
		if err := json.Unmarshal(slices.Concat([]byte{'"'}, escape, []byte{'"'}), &character); err != nil {
			return escape
		}
		return []byte(character)
	})
}

// load parses the text into a tree and makes sure that it is one document.
func load(data []byte) (*yaml.Node, *Error) {
	loader, err := yaml.NewLoader(bytes.NewReader(data),
		yaml.WithUniqueKeys(false), // reported by normalize, with both lines
		yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(4*MaxDepth))))
	if err != nil {
		return nil, &Error{Message: err.Error()}
	}
	var first, second yaml.Node
	switch err := loader.Load(&first); {
	case errors.Is(err, io.EOF) || err == nil && len(first.Content) == 0:
		return nil, &Error{Message: "the document is empty"}
	case err != nil:
		return nil, syntaxError(err)
	}
	switch err := loader.Load(&second); {
	case err == nil:
		return nil, &Error{Line: second.Line, Column: second.Column, Message: "a second document begins here; want one document only"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxError(err)
	}
	return first.Content[0], nil
}

func syntaxError(err error) *Error {
	e := &Error{Message: clean("not valid YAML: " + err.Error())}
	var load *yaml.LoadError
	if errors.As(err, &load) {
		e.Line, e.Column = load.Mark.Line, load.Mark.Column
		e.Message = clean("not valid YAML: " + load.Message)
	}
	return e
}

// normalize checks the form of a value and everything below it, replaces aliases
// by what they stand for, and drops the keys that it complains about. What it
// returns ends the parsing.
func (d *Document) normalize(node *yaml.Node, path string, depth int) *Error {
	d.values++
	if d.values > MaxValues {
		return &Error{Line: node.Line, Column: node.Column, Message: fmt.Sprintf("the document has more than %d values (aliases counted as what they stand for)", MaxValues)}
	}
	if depth > MaxDepth {
		return &Error{Line: node.Line, Column: node.Column, Message: fmt.Sprintf("nested deeper than %d levels, or an alias of itself", MaxDepth)}
	}
	if node.Style&yaml.TaggedStyle != 0 {
		d.add(node, path, fmt.Sprintf("the tag %s is not accepted; write the plain value", quote(node.Tag)))
	}
	for i, child := range node.Content {
		if child.Kind == yaml.AliasNode {
			node.Content[i] = child.Alias
		}
	}
	if node.Kind == yaml.MappingNode {
		d.normalizeKeys(node, path)
	}
	for segment, child := range children(node) {
		if fatal := d.normalize(child, attach(path, segment), depth+1); fatal != nil {
			return fatal
		}
	}
	return nil
}

// normalizeKeys drops every pair of a mapping whose key is not a unique, short
// text.
func (d *Document) normalizeKeys(node *yaml.Node, path string) {
	seen := make(map[string]int, len(node.Content)/2)
	kept := make([]*yaml.Node, 0, len(node.Content))
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		line, duplicate := seen[key.Value]
		d.values++
		switch {
		case key.Kind != yaml.ScalarNode || key.Value == "" || scalarKind(key) == Null:
			d.add(key, Join(path, "?"), "the key is not a text; write it in quotes")
		case len(key.Value) > MaxKeyBytes:
			d.add(key, Join(path, cut(key.Value)), fmt.Sprintf("the key %s is longer than %d bytes", quote(key.Value), MaxKeyBytes))
		case key.Value == "<<" && key.Style == 0:
			d.add(key, Join(path, key.Value), "merge keys (<<) are not accepted; repeat the keys, or use an alias for a whole value")
		case duplicate:
			d.add(key, Join(path, key.Value), fmt.Sprintf("the key %s is already set on line %d", quote(key.Value), line))
		default:
			seen[key.Value] = key.Line
			kept = append(kept, key, node.Content[i+1])
		}
	}
	node.Content = kept
}
