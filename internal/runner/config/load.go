package config

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/tetryx/lynx-runner/internal/strictyaml"
)

const envPrefix = "LYNX_RUNNER_"

// EnvConfig is the variable that commands take the file's path from. It is no
// setting.
const EnvConfig = envPrefix + "CONFIG"

// Load reads the file at path (none if empty), then the LYNX_RUNNER_… variables
// of environ ("KEY=value", as os.Environ has them; an empty value is as none),
// then flags (name without dashes → value), and checks the whole. What is wrong
// with a value is a *strictyaml.Errors that names all of it.
func Load(path string, environ []string, flags map[string]string) (*Config, error) {
	return LoadOver(nil, path, environ, flags)
}

// LoadOver is Load with other defaults for some settings, named as flags are.
func LoadOver(defaults map[string]string, path string, environ []string, flags map[string]string) (*Config, error) {
	h, err := thisHost(environ)
	if err != nil {
		return nil, err
	}
	return load(defaults, path, environ, flags, h)
}

func load(defaults map[string]string, path string, environ []string, flags map[string]string, h host) (*Config, error) {
	var doc document
	var file *strictyaml.Document
	origins := map[string]Origin{}
	add := func(layer *document, kind, name string) {
		overlay(&doc, layer, func(p string) { origins[p] = Origin{Kind: kind, Name: name} })
	}
	all := fields()
	if err := addNamed(all, defaults, "default", "", add); err != nil {
		return nil, err
	}
	if path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("configuration: %w", err)
		}
		if file, err = strictyaml.Parse(data, path); err != nil {
			return nil, err
		}
		var layer document
		if err := file.Decode(&layer); err != nil {
			return nil, err
		}
		add(&layer, "file", path)
	}
	if err := addVariables(all, environ, add); err != nil {
		return nil, err
	}
	if err := addNamed(all, flags, "flag", "--", add); err != nil {
		return nil, err
	}
	return resolve(&doc, h, origins, file)
}

func addVariables(all []field, environ []string, add func(*document, string, string)) error {
	byName := map[string]field{}
	var names []string
	for _, f := range all {
		byName[f.env()] = f
		names = append(names, f.env())
	}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || name == EnvConfig || value == "" {
			continue
		}
		f, ok := byName[name]
		if !ok {
			return unknown(name, "environment variable", names)
		}
		layer, err := single(f, name, value)
		if err != nil {
			return err
		}
		add(layer, "env", name)
	}
	return nil
}

// addNamed adds values by the names of flags, which are told with a prefix.
func addNamed(all []field, values map[string]string, kind, prefix string, add func(*document, string, string)) error {
	left := len(values)
	var names []string
	for _, f := range all {
		name := prefix + f.flag()
		names = append(names, name)
		value, ok := values[f.flag()]
		if !ok {
			continue
		}
		left--
		layer, err := single(f, name, value)
		if err != nil {
			return err
		}
		add(layer, kind, name)
	}
	if left == 0 {
		return nil
	}
	for name := range values {
		if err := unknown(prefix+name, kind, names); err != nil {
			return err
		}
	}
	return nil
}

// unknown is the error for a name that is not in valid; nil if it is.
func unknown(name, what string, valid []string) error {
	for _, v := range valid {
		if v == name {
			return nil
		}
	}
	message := "no such " + what
	if near := strictyaml.Nearest(name, valid); near != "" {
		message += "; did you mean " + near + "?"
	}
	return &strictyaml.Errors{List: []strictyaml.Error{{File: name, Message: message}}}
}

// single decodes one variable's or flag's text as if it stood in a file: text
// stays text, a list may be separated by commas, anything else is YAML.
func single(f field, name, text string) (*document, error) {
	var value any = text
	switch {
	case isList(f.typ) && !strings.ContainsAny(text, "[{"):
		value = splitList(text)
	case isText(f.typ):
	default:
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			return nil, &strictyaml.Errors{List: []strictyaml.Error{{File: name, Path: f.path, Message: "not valid YAML: " + err.Error()}}}
		}
	}
	keys := strings.Split(f.path, ".")
	for i := len(keys) - 1; i >= 0; i-- {
		value = map[string]any{keys[i]: value}
	}
	data, err := yaml.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var layer document
	if err := strictyaml.Decode(data, name, &layer); err != nil {
		return nil, withoutPlaces(err)
	}
	return &layer, nil
}

func isList(t reflect.Type) bool {
	return t == reflect.TypeFor[[]string]() || t == reflect.TypeFor[*capabilities]()
}

func isText(t reflect.Type) bool {
	return t == reflect.TypeFor[*string]() || t.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func splitList(text string) []string {
	var list []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// withoutPlaces takes line and column out of errors: a variable has none.
func withoutPlaces(err error) error {
	var errs *strictyaml.Errors
	if !errors.As(err, &errs) {
		return err
	}
	for i := range errs.List {
		errs.List[i].Line, errs.List[i].Column = 0, 0
	}
	return errs
}
