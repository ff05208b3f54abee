package strictyaml

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Decode decodes the value into what into points to, and returns whether all was
// well; what was not is recorded in the document, and numbers keep the value that
// they had. The keys in also belong to somebody else: they are neither decoded nor
// unknown.
//
// An empty value is an absent one for pointers, mappings, lists and structs, and
// an error for everything else.
func (v Value) Decode(into any, also ...string) bool {
	rv := reflect.ValueOf(into).Elem()
	if len(also) > 0 {
		return v.decodeStruct(rv, also)
	}
	return v.decode(rv)
}

func (v Value) decode(rv reflect.Value) bool {
	switch into := rv.Addr().Interface().(type) {
	case Decoder:
		return into.DecodeStrict(v)
	case encoding.TextUnmarshaler:
		return v.decodeText(into)
	case *time.Duration:
		return v.decodeDuration(into)
	case *any:
		return v.decodeAny(into)
	}
	switch rv.Kind() {
	case reflect.Pointer:
		if v.Kind() == Null {
			return true
		}
		rv.Set(reflect.New(rv.Type().Elem()))
		return v.decode(rv.Elem())
	case reflect.Struct:
		return v.decodeStruct(rv, nil)
	case reflect.Map:
		return v.decodeMap(rv)
	case reflect.Slice:
		return v.decodeSlice(rv)
	case reflect.String:
		return v.decodeString(rv)
	case reflect.Bool:
		return v.decodeBool(rv)
	case reflect.Float64:
		return v.decodeFloat(rv)
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return v.decodeInt(rv)
	}
	panic(fmt.Sprintf("strictyaml: %s can't be decoded into", rv.Type()))
}

// field is a struct field that a key decodes into.
type field struct {
	key      string
	index    int
	required bool
}

func fields(t reflect.Type) []field {
	var list []field
	for i := range t.NumField() {
		key, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if key != "" && key != "-" {
			list = append(list, field{key, i, t.Field(i).Tag.Get("strict") == "required"})
		}
	}
	return list
}

func (v Value) decodeStruct(rv reflect.Value, also []string) bool {
	if v.Kind() != Mapping && v.Kind() != Null {
		return v.want("a mapping of keys to values")
	}
	known := fields(rv.Type())
	names := slices.Clone(also)
	for _, f := range known {
		names = append(names, f.key)
	}
	ok := true
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key := v.node.Content[i]
		at := slices.IndexFunc(known, func(f field) bool { return f.key == key.Value })
		if at < 0 {
			ok = slices.Contains(also, key.Value) && ok
			if !slices.Contains(also, key.Value) {
				v.unknown(key, names)
			}
			continue
		}
		child := Value{v.doc, v.node.Content[i+1], Join(v.path, key.Value)}
		ok = child.decode(rv.Field(known[at].index)) && ok
	}
	for _, f := range known {
		if _, there := v.Field(f.key); f.required && !there {
			ok = false
			v.doc.Errorf(Join(v.path, f.key), "is missing; this key is required")
		}
	}
	return ok
}

// unknown adds the error about a key that does not exist. The key that was
// probably meant is marked as reported: that it is missing is no news.
func (v Value) unknown(key *yaml.Node, names []string) {
	path := Join(v.path, key.Value)
	slices.Sort(names)
	if near := Nearest(key.Value, names); near != "" {
		v.doc.add(key, path, fmt.Sprintf("unknown key %s; did you mean %q?", quote(key.Value), near))
		if _, there := v.Field(near); !there {
			v.doc.markReported(Join(v.path, near))
		}
		return
	}
	v.doc.add(key, path, fmt.Sprintf("unknown key %s; valid keys are %s", quote(key.Value), strings.Join(names, ", ")))
}

func (v Value) decodeMap(rv reflect.Value) bool {
	if v.Kind() == Null {
		return true
	}
	if v.Kind() != Mapping {
		return v.want("a mapping of names to values")
	}
	ok := true
	rv.Set(reflect.MakeMap(rv.Type()))
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key := v.node.Content[i].Value
		element := reflect.New(rv.Type().Elem()).Elem()
		ok = Value{v.doc, v.node.Content[i+1], Join(v.path, key)}.decode(element) && ok
		rv.SetMapIndex(reflect.ValueOf(key).Convert(rv.Type().Key()), element)
	}
	return ok
}

func (v Value) decodeSlice(rv reflect.Value) bool {
	if v.Kind() == Null {
		return true
	}
	if v.Kind() != List {
		return v.want("a list")
	}
	ok := true
	rv.Set(reflect.MakeSlice(rv.Type(), len(v.node.Content), len(v.node.Content)))
	for i, child := range v.node.Content {
		ok = Value{v.doc, child, Index(v.path, i)}.decode(rv.Index(i)) && ok
	}
	return ok
}

func (v Value) decodeString(rv reflect.Value) bool {
	switch v.Kind() {
	case Text:
		rv.SetString(v.Text())
		return true
	case Number, Bool:
		return v.want(fmt.Sprintf("a text: write it in quotes, %q", cut(v.Text())))
	}
	return v.want("a text")
}

func (v Value) decodeBool(rv reflect.Value) bool {
	if v.Kind() != Bool {
		return v.want("true or false")
	}
	rv.SetBool(strings.EqualFold(v.Text(), "true"))
	return true
}

// Float returns the value as a finite number, or reports why it is none.
func (v Value) Float() (float64, bool) {
	switch {
	case v.Kind() == Text && notFinite(v.Text()):
		v.Errorf("%s is not a finite number", v.Describe())
		return 0, false
	case v.Kind() != Number:
		return 0, v.want("a number")
	case leadingZero.MatchString(v.Text()):
		v.Errorf("%s begins with a zero, which some readers take as octal; leave the zero out", v.Describe())
		return 0, false
	}
	x, err := strconv.ParseFloat(v.Text(), 64)
	if err != nil {
		v.Errorf("%s is too large for a number of double precision", v.Describe())
		return 0, false
	}
	return x, true
}

func (v Value) decodeFloat(rv reflect.Value) bool {
	x, ok := v.Float()
	if ok {
		rv.SetFloat(x)
	}
	return ok
}

// decodeInt takes any way of writing a whole number: 1000000, 1e6 and 5.0 too, as
// JSON has no integers of its own.
func (v Value) decodeInt(rv reflect.Value) bool {
	if v.Kind() != Number {
		return v.want("a whole number")
	}
	if !leadingZero.MatchString(v.Text()) && setInt(rv, v.Text()) {
		return true
	}
	x, ok := v.Float()
	if !ok {
		return false
	}
	if x != math.Trunc(x) {
		return v.want("a whole number")
	}
	if math.Abs(x) <= 1<<53 && setInt(rv, strconv.FormatFloat(x, 'f', 0, 64)) {
		return true
	}
	if x < 0 && rv.CanUint() {
		return v.want("a whole number that is not negative")
	}
	v.Errorf("%s is too large", v.Describe())
	return false
}

// setInt stores decimal digits and reports whether they fit.
func setInt(rv reflect.Value, digits string) bool {
	if rv.CanUint() {
		n, err := strconv.ParseUint(strings.TrimPrefix(digits, "+"), 10, rv.Type().Bits())
		if err == nil {
			rv.SetUint(n)
		}
		return err == nil
	}
	n, err := strconv.ParseInt(digits, 10, rv.Type().Bits())
	if err == nil {
		rv.SetInt(n)
	}
	return err == nil
}

func (v Value) decodeText(into encoding.TextUnmarshaler) bool {
	switch v.Kind() {
	case Null, Mapping, List:
		return v.want("a text")
	}
	if err := into.UnmarshalText([]byte(v.Text())); err != nil {
		v.Errorf("%s: %v", v.Describe(), err)
		return false
	}
	return true
}

func (v Value) decodeDuration(into *time.Duration) bool {
	duration, err := time.ParseDuration(v.Text())
	if err != nil || v.Kind() != Text {
		return v.want("a duration with a unit, such as 500ms, 30s or 2h")
	}
	*into = duration
	return true
}

// decodeAny takes a value as JSON has it: nil, bool, float64, string, []any,
// map[string]any.
func (v Value) decodeAny(into *any) bool {
	switch v.Kind() {
	case Null:
		*into = nil
	case Text:
		*into = v.Text()
	case Bool:
		*into = strings.EqualFold(v.Text(), "true")
	case Number:
		x, ok := v.Float()
		*into = x
		return ok
	case List:
		list := []any{}
		ok := v.Decode(&list)
		*into = list
		return ok
	case Mapping:
		mapping := map[string]any{}
		ok := v.Decode(&mapping)
		*into = mapping
		return ok
	}
	return true
}
