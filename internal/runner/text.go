package runner

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

const (
	// maxLine bounds the line of a job's that goes into a message, in bytes.
	maxLine = 400
	// tailBytes is how much of stderr is looked at for its last line.
	tailBytes = 8 << 10
)

// printable makes a text from a job fit for a terminal and for one line: what
// does not print is escaped as Go would.
func printable(s string) string {
	var b strings.Builder
	for i, r := range s {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			_, width := utf8.DecodeRuneInString(s[i:])
			b.WriteString(escape(s[i : i+width]))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func escape(s string) string {
	switch s {
	case "\t", "\n", "\r":
		return " "
	}
	const digits = "0123456789abcdef"
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteString(`\x`)
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

// lastLineOf returns the last line with anything in it of a log that a job's
// side wrote, printable and bounded; empty if there is none. Whatever lies there
// instead of a regular file is not opened.
func lastLineOf(dir, name string) string {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return ""
	}
	defer func() { _ = root.Close() }()
	before, err := root.Lstat(name)
	if err != nil || !before.Mode().IsRegular() {
		return ""
	}
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !os.SameFile(before, info) {
		return ""
	}
	tail := make([]byte, min(info.Size(), tailBytes))
	n, err := f.ReadAt(tail, info.Size()-int64(len(tail)))
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return lastLineIn(tail[:n])
}

func lastLineIn(text []byte) string {
	text = bytes.TrimSpace(text)
	line := text[bytes.LastIndexAny(text, "\n\r")+1:]
	line = bytes.TrimSpace(line)
	cut := ""
	if len(line) > maxLine {
		line, cut = line[:maxLine], "…"
	}
	return printable(strings.ToValidUTF8(string(line), "?")) + cut
}
