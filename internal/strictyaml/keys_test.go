package strictyaml

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKeysKeepTheOrderOfTheDocument(t *testing.T) {
	doc, err := Parse([]byte("z: {c: 1, a: 2, b: 3}\nlist: [x]\ntext: t\n"), "f.yaml")
	if err != nil {
		t.Fatal(err)
	}
	field := func(name string) Value { v, _ := doc.Root().Field(name); return v }
	for name, want := range map[string][]string{"z": {"c", "a", "b"}, "list": nil, "text": nil, "missing": nil} {
		if diff := cmp.Diff(want, field(name).Keys()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
