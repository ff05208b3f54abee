package strictyaml

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Kind is the type of a value as written.
type Kind int

// The kinds of values.
const (
	// Null is nothing at all, `~` or `null`.
	Null Kind = iota
	Bool
	// Number is a decimal number. Hexadecimal, octal and 1_000 are Text.
	Number
	Text
	Mapping
	List
)

// Value is one value of a document, for types that decode themselves.
type Value struct {
	doc  *Document
	node *yaml.Node
	path string
}

// Decoder is implemented, on the pointer, by types that decode themselves.
// DecodeStrict reports what is wrong with v.Errorf, and returns whether all was
// well.
type Decoder interface {
	DecodeStrict(v Value) bool
}

// Path is the value's dotted path.
func (v Value) Path() string { return v.path }

// Kind is the type of the value as written.
func (v Value) Kind() Kind {
	switch v.node.Kind {
	case yaml.MappingNode:
		return Mapping
	case yaml.SequenceNode:
		return List
	}
	return scalarKind(v.node)
}

// Text is the text of a scalar as written, without quotes; "" for others.
func (v Value) Text() string { return v.node.Value }

// Field returns the value of a key of a mapping.
func (v Value) Field(key string) (Value, bool) {
	if v.node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(v.node.Content); i += 2 {
			if v.node.Content[i].Value == key {
				return Value{v.doc, v.node.Content[i+1], Join(v.path, key)}, true
			}
		}
	}
	return Value{}, false
}

// Keys are the keys of a mapping, in the order of the document; none for others,
// the zero Value among them.
func (v Value) Keys() []string {
	var keys []string
	if v.node != nil && v.node.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(v.node.Content); i += 2 {
			keys = append(keys, v.node.Content[i].Value)
		}
	}
	return keys
}

// Errorf adds an error about this value, unless there is one already.
func (v Value) Errorf(format string, args ...any) {
	if !v.doc.isReported(v.path) {
		v.doc.add(v.node, v.path, fmt.Sprintf(format, args...))
	}
}

// FieldErrorf adds an error about a key of this mapping, which may be missing; like
// Document.Errorf it is left out where there is one already.
func (v Value) FieldErrorf(key, format string, args ...any) {
	v.doc.Errorf(Join(v.path, key), format, args...)
}

// Describe shows the value in a message: quoted text, a number, "a list".
func (v Value) Describe() string {
	switch v.Kind() {
	case Null:
		return "nothing"
	case Text:
		return quote(v.node.Value)
	case Mapping:
		return "a mapping"
	case List:
		return "a list"
	}
	return cut(v.node.Value)
}

// want adds the error that the value is not of the type expected.
func (v Value) want(what string) bool {
	switch v.Kind() {
	case Null:
		v.Errorf("has no value; want %s, or leave the key out", what)
	default:
		v.Errorf("got %s; want %s", v.Describe(), what)
	}
	return false
}

// number is a decimal number: YAML's core schema and JSON less infinity and NaN,
// hexadecimal and octal.
var number = regexp.MustCompile(`^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$`)

// leadingZero finds numbers that one reader takes as octal and another does not.
var leadingZero = regexp.MustCompile(`^[-+]?0[0-9]`)

// scalarKind is the type of a scalar, by YAML's core schema.
func scalarKind(node *yaml.Node) Kind {
	const quoted = yaml.SingleQuotedStyle | yaml.DoubleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	if node.Style&quoted != 0 {
		return Text
	}
	switch node.Value {
	case "", "~", "null", "Null", "NULL":
		return Null
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return Bool
	}
	if number.MatchString(node.Value) {
		return Number
	}
	return Text
}

// notFinite recognises the ways of writing infinity and NaN, for the message.
func notFinite(text string) bool {
	word := strings.TrimLeft(strings.ToLower(text), "+-.")
	return word == "nan" || word == "inf" || word == "infinity"
}

// quote shows text in a message: printable, and not too much of it.
func quote(text string) string { return strconv.Quote(cut(text)) }

func cut(text string) string {
	const most = 64
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most]) + "…"
}
