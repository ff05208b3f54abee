package rest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/api"
)

// What is refused is exactly what is not JSON, and the place that is named is one
// of the document.
func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{"", "{}", "{\n\"a\": oops}", "[1,\n\n", "a: 1", "\n\n\n", "\x00", "1 2", strings.Repeat("[", 20_000)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		err := checkJSON(data)
		if (err == nil) != json.Valid(data) {
			t.Fatalf("error %v for %q", err, data)
		}
		if err == nil {
			return
		}
		p, ok := errors.AsType[*api.Problem](err)
		if !ok || len(p.Errors) != 1 {
			t.Fatalf("error %v", err)
		}
		lines := strings.Split(string(data), "\n")
		at := p.Errors[0]
		if at.Line < 1 || at.Line > len(lines) || at.Column < 1 || at.Column > len(lines[at.Line-1])+1 {
			t.Errorf("place %d:%d in %q", at.Line, at.Column, data)
		}
	})
}
