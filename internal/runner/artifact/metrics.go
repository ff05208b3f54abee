package artifact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
)

// The bounds of metrics.
const (
	metricsFile     = "summary.json"
	maxMetricsBytes = 1 << 20
	maxMetrics      = 200
	maxMetricName   = 64
	maxMetricDepth  = 32
)

// Metrics reads the numbers that a run reports about itself: the finite numbers
// and booleans (as 1 and 0) of summary.json in dir, nested names joined by dots.
// A name is at most 64 characters of A-Z, a-z, 0-9, '_', '.' and '-'; there are
// at most 200 metrics, the first in the file's order. leftOut counts what is not
// among them because of that, or because it is NaN, infinite, in an array or
// nested deeper than 32 objects; a name that comes again replaces the value, and
// counts too. Texts and nulls are not metrics and don't count. NaN and Infinity
// may be spelled as Python's json module does.
//
// No summary.json is no metrics and no error. One that is not a regular file of
// at most 1 MiB with one link, or not JSON with an object at the top, is an
// error.
func Metrics(dir string) (metrics map[string]float64, leftOut int, err error) {
	data, err := readMetrics(dir)
	if data == nil || err != nil {
		return nil, 0, err
	}
	metrics, leftOut, err = parseMetrics(data)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", metricsFile, err)
	}
	return metrics, leftOut, nil
}

// readMetrics reads the file; nil if it is not there.
func readMetrics(dir string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	info, err := root.Lstat(metricsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && info.Size() > maxMetricsBytes {
		return nil, fmt.Errorf("%s has %d bytes; at most %d are read", metricsFile, info.Size(), maxMetricsBytes)
	}
	f, err := new(walker).openRegular(entry{dir: root, name: metricsFile, rel: metricsFile, info: info})
	if err != nil {
		return nil, fmt.Errorf("%s can't be read: %s", metricsFile, reason(err))
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxMetricsBytes))
	if err != nil {
		return nil, fmt.Errorf("%s can't be read: %s", metricsFile, reason(err))
	}
	return data, nil
}

// parseMetrics makes metrics of a JSON document.
func parseMetrics(data []byte) (map[string]float64, int, error) {
	p := metricsParser{
		dec:     json.NewDecoder(bytes.NewReader(withoutNaN(data))),
		metrics: make(map[string]float64),
	}
	p.dec.UseNumber()
	if t, err := p.dec.Token(); err != nil {
		return nil, 0, err
	} else if t != json.Delim('{') {
		return nil, 0, errors.New("the top is not an object")
	}
	if err := p.object("", 1); err != nil {
		return nil, 0, noEOF(err)
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, 0, errors.New("something follows the object")
	}
	return p.metrics, p.leftOut, nil
}

type metricsParser struct {
	dec     *json.Decoder
	metrics map[string]float64
	leftOut int
}

// object reads the members of an object whose brace was read.
func (p *metricsParser) object(prefix string, depth int) error {
	for p.dec.More() {
		key, err := p.dec.Token()
		if err != nil {
			return err
		}
		// The decoder sees to it that keys are texts.
		name := prefix + key.(string)
		if err := p.member(name, depth); err != nil {
			return err
		}
	}
	_, err := p.dec.Token()
	return err
}

// member reads one value.
func (p *metricsParser) member(name string, depth int) error {
	t, err := p.dec.Token()
	if err != nil {
		return err
	}
	switch t := t.(type) {
	case bool:
		value := 0.0
		if t {
			value = 1
		}
		p.add(name, value)
	case json.Number:
		// What is out of range is infinite.
		value, err := strconv.ParseFloat(t.String(), 64)
		if err != nil {
			p.leftOut++
			return nil
		}
		p.add(name, value)
	case string:
		if t == nanMark {
			p.leftOut++
		}
	case json.Delim:
		// Names only grow: below a name that is too long there is nothing to keep.
		if t == '{' && depth < maxMetricDepth && len(name) < maxMetricName {
			return p.object(name+".", depth+1)
		}
		p.leftOut++
		return p.skip()
	}
	return nil
}

// skip reads to the end of the array or object whose opening was read.
func (p *metricsParser) skip() error {
	for depth := 1; depth > 0; {
		t, err := p.dec.Token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
	return nil
}

func (p *metricsParser) add(name string, value float64) {
	_, again := p.metrics[name]
	if !validMetricName(name) || !again && len(p.metrics) >= maxMetrics {
		p.leftOut++
		return
	}
	if again {
		p.leftOut++
	}
	p.metrics[name] = value
}

func validMetricName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-':
		default:
			return false
		}
	}
	return name != "" && len(name) <= maxMetricName
}

// nanMark stands for a number that JSON has no spelling for. No document has it
// by chance.
const nanMark = "\x00not a finite number"

// withoutNaN replaces the NaN, Infinity and -Infinity that Python's json module
// writes by a text. Inside texts it changes nothing.
func withoutNaN(data []byte) []byte {
	if !bytes.Contains(data, []byte("NaN")) && !bytes.Contains(data, []byte("Infinity")) {
		return data
	}
	mark, _ := json.Marshal(nanMark)
	var out []byte
	inText := false
	for i := 0; i < len(data); i++ {
		switch {
		case inText && data[i] == '\\' && i+1 < len(data):
			out = append(out, data[i])
			i++
		case data[i] == '"':
			inText = !inText
		case !inText:
			if n := nanLength(data[i:]); n > 0 {
				out = append(out, mark...)
				i += n - 1
				continue
			}
		}
		out = append(out, data[i])
	}
	return out
}

func nanLength(data []byte) int {
	for _, word := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(data, []byte(word)) {
			return len(word)
		}
	}
	return 0
}

// noEOF makes the end of a document that is not complete say so.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
