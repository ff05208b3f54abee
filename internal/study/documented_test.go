package study_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/internal/study"
)

// TestEveryFieldIsDocumented: docs/study.md names each key that a study can have.
func TestEveryFieldIsDocumented(t *testing.T) {
	text := readFile(t, "../../docs/study.md")
	var visit func(typ reflect.Type)
	visit = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			visit(typ.Elem())
		case reflect.Struct:
			for f := range typ.Fields() {
				key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				if key == "" || key == "-" {
					continue
				}
				if !strings.Contains(text, "`"+key+"`") && !strings.Contains(text, "."+key+"`") && !strings.Contains(text, "`"+key+".") {
					t.Errorf("docs/study.md has no `%s` (%s.%s)", key, typ.Name(), f.Name)
				}
				visit(f.Type)
			}
		}
	}
	for _, typ := range []reflect.Type{
		reflect.TypeFor[study.Request](), reflect.TypeFor[study.Uniform](), reflect.TypeFor[study.Normal](), reflect.TypeFor[study.Constant](),
	} {
		visit(typ)
	}
}
