package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// writeFailed is the error of output that could not be written. That a reader has
// had enough, as head has, is no news to anybody, and told by the exit status only.
func writeFailed(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPIPE):
		return &ExitError{Status: ExitUnread}
	default:
		return exit(ExitFailed, fmt.Errorf("output: %w", err))
	}
}

// orWriteFailed is for an error that has its exit status unless it is one of
// writing.
func orWriteFailed(err error) error {
	if _, ok := errors.AsType[*ExitError](err); ok {
		return err
	}
	return writeFailed(err)
}

// writeObject prints one value as indented JSON.
func writeObject(w io.Writer, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", harmless(text))
	return writeFailed(err)
}

// harmless escapes what a terminal would act on in a JSON text, beyond what JSON
// itself has escaped. Such characters are only found within strings.
func harmless(text []byte) []byte {
	if !bytes.ContainsFunc(text, func(r rune) bool { return r != '\n' && acts(r) }) {
		return text
	}
	var out bytes.Buffer
	for _, r := range string(text) {
		if r != '\n' && acts(r) {
			fmt.Fprintf(&out, "\\u%04x", r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.Bytes()
}

// writeList prints a list as a JSON array, each item on a line of its own, as it
// arrives.
func writeList[T any](w io.Writer, items iter.Seq2[T, error]) error {
	out := bufio.NewWriterSize(w, 64<<10)
	separator := "["
	for item, err := range items {
		if err != nil {
			return err
		}
		text, err := json.Marshal(item)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\n%s", separator, harmless(text))
		separator = ","
	}
	if separator == "[" {
		fmt.Fprint(out, "[")
	}
	fmt.Fprint(out, "\n]\n")
	return writeFailed(out.Flush())
}

// first yields the first n items; 0 means all.
func first[T any](n int, items iter.Seq2[T, error]) iter.Seq2[T, error] {
	if n == 0 {
		return items
	}
	return func(yield func(T, error) bool) {
		left := n
		for item, err := range items {
			if left--; !yield(item, err) || left == 0 {
				return
			}
		}
	}
}

// writeFile lets write fill the file at path, which appears whole or not at all;
// "-" is stdout. What is there but no regular file, such as a pipe, is written to
// as it is.
func writeFile(stdout io.Writer, path string, write func(io.Writer) error) error {
	if path == "-" {
		return write(stdout)
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if dir := filepath.Dir(path); !isDirectory(dir) {
		return exit(ExitUsage, fmt.Errorf("output: %s: there is no directory %s", path, dir))
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fill(path, os.O_WRONLY, write)
	}
	part := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+"."+strconv.Itoa(os.Getpid())+".part")
	if err := fill(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, write); err != nil {
		return err
	}
	if err := os.Rename(part, path); err != nil {
		return writeFailed(errors.Join(err, os.Remove(part)))
	}
	return nil
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// fill writes one file; one that it made and could not fill is removed.
func fill(path string, flags int, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, flags, 0o666)
	if err != nil {
		return exit(ExitUsage, fmt.Errorf("output: %w", err))
	}
	out := bufio.NewWriterSize(f, 64<<10)
	err = write(out)
	if err == nil {
		err = writeFailed(out.Flush())
	}
	if closed := f.Close(); err == nil {
		err = writeFailed(closed)
	}
	if err != nil && flags&os.O_CREATE != 0 {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}

// moment prints a time in the user's zone; nothing for one that has not come.
func (p *Program) moment(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.In(p.Now().Location()).Format(time.DateTime)
}

// took is the time between two moments in seconds; to now, if the end has not
// come.
func (p *Program) took(from, to *time.Time) string {
	if from == nil {
		return ""
	}
	end := p.Now()
	if to != nil {
		end = *to
	}
	return strconv.FormatFloat(max(end.Sub(*from).Seconds(), 0), 'f', 1, 64)
}

// bytesText prints a size as people say it.
func bytesText(n int64) string {
	const units = "KMGTP"
	if n < 1<<10 {
		return strconv.FormatInt(n, 10) + " B"
	}
	value, unit := float64(n)/(1<<10), 0
	for ; value >= 1<<10 && unit < len(units)-1; unit++ {
		value /= 1 << 10
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}

// exact prints a number with as many digits as it has, and without an exponent
// where that stays readable.
func exact(v float64) string {
	if a := math.Abs(v); v == 0 || a >= 1e-4 && a < 1e15 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// optional is what a pointer points to; nothing for nil.
func optional[T any](value *T, text func(T) string) string {
	if value == nil {
		return ""
	}
	return text(*value)
}
