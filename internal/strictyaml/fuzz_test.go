package strictyaml_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/internal/strictyaml"
)

// both reads the same from JSON by encoding/json and by this package.
type both struct {
	Text   string             `yaml:"text" json:"text"`
	Number float64            `yaml:"number" json:"number"`
	Whole  *int               `yaml:"whole" json:"whole"`
	Flag   bool               `yaml:"flag" json:"flag"`
	Map    map[string]float64 `yaml:"map" json:"map"`
	List   []both             `yaml:"list" json:"list"`
	Any    any                `yaml:"any" json:"any"`
}

// FuzzDecode: no document makes the decoder panic; every error names the file, has
// a printable message and a place inside the document; and of a JSON document that
// both accept, this decoder makes what encoding/json makes.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"text: a\nnumber: 1.5\nwhole: 3\nflag: true\nmap: {a: 1}\nlist: [{text: b}]\nany: [1, {x: ~}]\n",
		`{"text":"a","number":1.5,"whole":3,"flag":true,"map":{"a":1},"list":[{"text":"b"}],"any":[1,{"x":null}]}`,
		"{\n\t\"text\": \"\\ud83d\\ude80\\/\\\\ud83d\"\n}", "a: &a [*a]", "? x\n: y", "<<: {}", "--- !!map\n...", "text: |\n a\n b\n",
		"number: 010", "number: .inf", "\"\\x1b\": 1", "any: 1e999", "map: {1: 2, ~: 3}", "%YAML 1.2\n---\ntext: x", "{\"text\":\"\\u2028\\ufeff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var ours both
		if err := strictyaml.Decode(data, "f", &ours); err != nil {
			checkErrors(t, data, err)
			return
		}
		var theirs both
		if json.Unmarshal(data, &theirs) != nil {
			return
		}
		if diff := cmp.Diff(theirs, ours); diff != "" {
			t.Errorf("encoding/json reads %q differently: %s", data, diff)
		}
	})
}

func checkErrors(t *testing.T, data []byte, err error) {
	var list *strictyaml.Errors
	if !errors.As(err, &list) || len(list.List) == 0 || len(list.List) > strictyaml.MaxErrors+1 {
		t.Fatalf("got a %T: %v", err, err)
	}
	lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + strings.Count(string(data), "\u2028") + strings.Count(string(data), "\u2029") + strings.Count(string(data), "\u0085") + 2
	for _, e := range list.List {
		if e.File != "f" || e.Message == "" || !utf8.ValidString(e.Error()) || strings.ContainsFunc(e.Error(), unprintable) {
			t.Errorf("bad error %q", e.Error())
		}
		if e.Line < 0 || e.Line > lines || e.Line > 0 && e.Column < 1 {
			t.Errorf("no such place: %v (%d lines)", e, lines)
		}
	}
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
