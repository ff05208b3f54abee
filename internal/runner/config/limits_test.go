package config

import (
	"strings"
	"testing"
)

// A log, of which the shim writes no more than a file may have, always has room for its
// end.
func TestLogsFitIntoFiles(t *testing.T) {
	const mi = 1 << 20
	for _, c := range []struct {
		name, sandbox string
		head, tail    int64
	}{
		{"nothing said", "{}", 8 * mi, 8 * mi},
		{"small files", "{output: {per_file: 4Mi}}", 2*mi - 256, 2*mi - 256},
		{"small files and a small end", "{output: {per_file: 4Mi}, log_tail: 1Mi}", 3*mi - 512, mi},
		{"small files and a small beginning", "{output: {per_file: 4Mi}, log_head: 1Mi}", mi, 3*mi - 512},
		{"the smallest files", "{output: {per_file: 1Ki}}", 256, 256},
		{"large files", "{output: {per_file: 40Mi}, log_head: 16Mi, log_tail: 16Mi}", 16 * mi, 16 * mi},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := mustLoad(t, "sandbox: "+c.sandbox, nil, nil).Limits
			if l.LogHead != c.head || l.LogTail != c.tail {
				t.Errorf("%d and %d, want %d and %d", l.LogHead, l.LogTail, c.head, c.tail)
			}
		})
	}
	_, err := loadText(t, "sandbox: {output: {per_file: 4Mi}, log_head: 3Mi, log_tail: 2Mi}", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "sandbox.log_head: 3Mi and sandbox.log_tail, 2Mi, are more than a file may have (sandbox.output.per_file, 4Mi)") {
		t.Errorf("accepted, or told wrongly: %v", err)
	}
}
