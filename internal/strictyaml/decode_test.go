package strictyaml_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/internal/strictyaml"
)

// config has a field of every type that documents are decoded into.
type config struct {
	Name     string             `yaml:"name" strict:"required"`
	Enabled  bool               `yaml:"enabled"`
	Slots    int                `yaml:"slots"`
	Seed     *uint64            `yaml:"seed"`
	Port     uint16             `yaml:"port"`
	Rate     float64            `yaml:"rate"`
	Interval time.Duration      `yaml:"interval"`
	Address  netip.Addr         `yaml:"address"`
	Weights  map[string]float64 `yaml:"weights"`
	Items    []item             `yaml:"items"`
	Extra    any                `yaml:"extra"`
	Shade    shade              `yaml:"shade"`
	Ignored  string             `yaml:"-"`
}

type item struct {
	Label string  `yaml:"label" strict:"required"`
	Size  float64 `yaml:"size"`
}

// shade decodes itself: a mapping with a `kind`, that this type reads, and keys
// that a struct does.
type shade struct {
	kind   string
	fields struct {
		Depth int `yaml:"depth" strict:"required"`
	}
}

func (s *shade) DecodeStrict(v strictyaml.Value) bool {
	kind, ok := v.Field("kind")
	if !ok {
		v.FieldErrorf("kind", "is missing")
		return false
	}
	return kind.Decode(&s.kind) && v.Decode(&s.fields, "kind")
}

func TestDecode(t *testing.T) {
	const document = `
name: &n "a name"
enabled: true
slots: 1e3
seed: 18446744073709551615
port: 8080
rate: -1.5E-3
interval: 1m30s
address: 127.0.0.1
weights: {a.b: 1, c: .5}
items:
  - label: *n
    size: 2
  - {label: plain, size: +3.}
extra: {list: [1, text, true, ~], none: null}
shade: {depth: 4, kind: dark}
`
	var got config
	if err := strictyaml.Decode([]byte(document), "f.yaml", &got); err != nil {
		t.Fatal(err)
	}
	seed := ^uint64(0)
	want := config{
		Name: "a name", Enabled: true, Slots: 1000, Seed: &seed, Port: 8080, Rate: -0.0015,
		Interval: 90 * time.Second, Address: netip.MustParseAddr("127.0.0.1"),
		Weights: map[string]float64{"a.b": 1, "c": 0.5},
		Items:   []item{{"a name", 2}, {"plain", 3}},
		Extra:   map[string]any{"list": []any{1.0, "text", true, nil}, "none": nil},
		Shade:   shade{kind: "dark"},
	}
	want.Shade.fields.Depth = 4
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(shade{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeJSON(t *testing.T) {
	document := "{\n\t\"name\": \"caf\\u00e9 \\ud83d\\ude80 \\\\ud83d\\\\ude80 a\\/b\",\n\t\"seed\": null,\n\t\"slots\": 5.0\n}"
	var got config
	if err := strictyaml.Decode([]byte(document), "f.json", &got); err != nil {
		t.Fatal(err)
	}
	if want := `café 🚀 \ud83d\ude80 a/b`; got.Name != want || got.Seed != nil || got.Slots != 5 {
		t.Errorf("got %+v, want the name %q, no seed and 5 slots", got, want)
	}
}

// TestEmptyValues: nothing is an absent mapping, list or pointer, and no number or
// text.
func TestEmptyValues(t *testing.T) {
	var got config
	err := strictyaml.Decode([]byte("name: x\nseed:\nitems:\nweights: ~\n"), "f", &got)
	if err != nil || got.Seed != nil || got.Items != nil || got.Weights != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDecodeErrors(t *testing.T) {
	tests := []struct{ name, document, want string }{
		{"unknown key, near", "name: x\nslot: 1", `f:2:1: slot: unknown key "slot"; did you mean "slots"?`},
		{
			"unknown key, far", "name: x\nbananas: 1",
			`f:2:1: bananas: unknown key "bananas"; valid keys are address, enabled, extra, interval, items, name, port, rate, seed, shade, slots, weights`,
		},
		{"field without a key", "name: x\nignored: y", `f:2:1: ignored: unknown key "ignored"; valid keys are address, enabled, extra, interval, items, name, port, rate, seed, shade, slots, weights`},
		{"required", "slots: 1", `f:1:1: name: is missing; this key is required`},
		{"required, misspelt", "nmae: x", `f:1:1: nmae: unknown key "nmae"; did you mean "name"?`},
		{"required, in a list", "name: x\nitems:\n  - size: 1", `f:3:5: items[0].label: is missing; this key is required`},
		{"number as text", "name: 1.0", `f:1:7: name: got 1.0; want a text: write it in quotes, "1.0"`},
		{"bool as text", "name: true", `f:1:7: name: got true; want a text: write it in quotes, "true"`},
		{"nothing as text", "name:", `f:1:6: name: has no value; want a text, or leave the key out`},
		{"list as text", "name: [x]", `f:1:7: name: got a list; want a text`},
		{"text as bool", "name: x\nenabled: yes", `f:2:10: enabled: got "yes"; want true or false`},
		{"text as int", "name: x\nslots: \"5\"", `f:2:8: slots: got "5"; want a whole number`},
		{"fraction as int", "name: x\nslots: 1.5", `f:2:8: slots: got 1.5; want a whole number`},
		{"hexadecimal", "name: x\nslots: 0x10", `f:2:8: slots: got "0x10"; want a whole number`},
		{"underscore", "name: x\nslots: 1_000", `f:2:8: slots: got "1_000"; want a whole number`},
		{"octal int", "name: x\nslots: 010", `f:2:8: slots: 010 begins with a zero, which some readers take as octal; leave the zero out`},
		{"octal float", "name: x\nrate: -010", `f:2:7: rate: -010 begins with a zero, which some readers take as octal; leave the zero out`},
		{"int overflow", "name: x\nslots: 9223372036854775808", `f:2:8: slots: 9223372036854775808 is too large`},
		{"int overflow by exponent", "name: x\nslots: 1e300", `f:2:8: slots: 1e300 is too large`},
		{"uint16 overflow", "name: x\nport: 65536", `f:2:7: port: 65536 is too large`},
		{"negative uint", "name: x\nseed: -1", `f:2:7: seed: got -1; want a whole number that is not negative`},
		{"text as float", "name: x\nrate: fast", `f:2:7: rate: got "fast"; want a number`},
		{"infinity", "name: x\nrate: -.inf", `f:2:7: rate: "-.inf" is not a finite number`},
		{"not a number", "name: x\nrate: NaN", `f:2:7: rate: "NaN" is not a finite number`},
		{"float overflow", "name: x\nrate: 1e999", `f:2:7: rate: 1e999 is too large for a number of double precision`},
		{"mapping as float", "name: x\nrate: {a: 1}", `f:2:7: rate: got a mapping; want a number`},
		{"duration without unit", "name: x\ninterval: 10", `f:2:11: interval: got 10; want a duration with a unit, such as 500ms, 30s or 2h`},
		{"text unmarshaler", "name: x\naddress: here", `f:2:10: address: "here": ParseAddr("here"): unable to parse IP`},
		{"list for text unmarshaler", "name: x\naddress: []", `f:2:10: address: got a list; want a text`},
		{"text as list", "name: x\nitems: y", `f:2:8: items: got "y"; want a list`},
		{"list as map", "name: x\nweights: []", `f:2:10: weights: got a list; want a mapping of names to values`},
		{"list as struct", "- name", `f:1:1: got a list; want a mapping of keys to values`},
		{"map element", "name: x\nweights: {\"a b\": y}", `f:2:18: weights."a b": got "y"; want a number`},
		{"number in any", "name: x\nextra: [1e999]", `f:2:9: extra[0]: 1e999 is too large for a number of double precision`},
		{"own decoder", "name: x\nshade: {}", `f:2:8: shade.kind: is missing`},
		{"own decoder, unknown key", "name: x\nshade: {kind: dark, depht: 1}", `f:2:21: shade.depht: unknown key "depht"; did you mean "depth"?`},
		{"duplicate key", "name: x\nname: y", `f:2:1: name: the key "name" is already set on line 1`},
		{"duplicate key in JSON", `{"name":"x","name":"y"}`, `f:1:13: name: the key "name" is already set on line 1`},
		{"tag", "name: !!str 1", `f:1:7: name: the tag "!!str" is not accepted; write the plain value`},
		{"merge key", "name: x\n<<: {slots: 1}", `f:2:1: "<<": merge keys (<<) are not accepted; repeat the keys, or use an alias for a whole value`},
		{"key that is a list", "name: x\n? [a]\n: 1", `f:2:3: "?": the key is not a text; write it in quotes`},
		{"key that is nothing", "name: x\n~: 1", `f:2:1: "?": the key is not a text; write it in quotes`},
		{"long value is cut", "name: x\nrate: " + strings.Repeat("a", 100), `f:2:7: rate: got "` + strings.Repeat("a", 64) + `…"; want a number`},
		{"control characters are escaped", `{"name": "x", "\u001b[31m": 1}`, `f:1:15: "\x1b[31m": unknown key "\x1b[31m"; valid keys are address, enabled, extra, interval, items, name, port, rate, seed, shade, slots, weights`},
		{"everything at once, by line", "slots: x\nrate: y\nport: z", "f:1:1: name: is missing; this key is required\nf:1:8: slots: got \"x\"; want a whole number\nf:2:7: rate: got \"y\"; want a number\nf:3:7: port: got \"z\"; want a whole number"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := strictyaml.Decode([]byte(test.document), "f", &config{})
			if diff := cmp.Diff(test.want, fmt.Sprint(err)); diff != "" {
				t.Error(diff)
			}
			var list *strictyaml.Errors
			if !errors.As(err, &list) {
				t.Errorf("the error is a %T", err)
			}
			var first strictyaml.Error
			if !errors.As(err, &first) || first != list.List[0] {
				t.Errorf("errors.As finds %v", first)
			}
		})
	}
}

func TestUnsupportedTypePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic for a type that the package does not know")
		}
	}()
	_ = strictyaml.Decode([]byte("c: 1"), "f", &struct {
		C complex128 `yaml:"c"`
	}{})
}
