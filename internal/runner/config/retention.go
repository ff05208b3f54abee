package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Retention is what `lynx-runner clean` removes without being told more. A bound
// that is nil keeps everything.
type Retention struct {
	// OutputAge and OutputBytes bound the results below OutputRoot: how long ago an
	// attempt ended, and how much all of this runner's take up.
	OutputAge   *time.Duration
	OutputBytes *int64
	// ImageAge is for how long an image that the runner has pulled stays after its
	// last use.
	ImageAge *time.Duration
	// RejectedAge is how long what the state directory keeps for a person stays.
	RejectedAge *time.Duration
}

// retentionDocument is the section retention.
type retentionDocument struct {
	Outputs struct {
		Age  *age  `yaml:"age"`
		Size *size `yaml:"size"`
	} `yaml:"outputs"`
	Images struct {
		Age *age `yaml:"age"`
	} `yaml:"images"`
	Rejected struct {
		Age *age `yaml:"age"`
	} `yaml:"rejected"`
}

// age is a duration of days and weeks, or in the notation of duration.
type age time.Duration

const day = 24 * time.Hour

// UnmarshalText reads 30d, 2w, or what a duration is written as.
func (a *age) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	for suffix, unit := range map[string]time.Duration{"d": day, "w": 7 * day} {
		number, ok := strings.CutSuffix(s, suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil || math.IsNaN(n) || math.Abs(n) > float64(math.MaxInt64/2/unit) {
			return errNoAge
		}
		*a = age(n * float64(unit))
		return nil
	}
	var d duration
	if d.UnmarshalText([]byte(s)) != nil {
		return errNoAge
	}
	*a = age(d)
	return nil
}

var errNoAge = errors.New("not an age; write 30d, 2w, 36h or a number of seconds")

// ShowAge writes an age as it could stand in a file: whole days as 30d.
func ShowAge(d time.Duration) string {
	if d > 0 && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

// ParseAge reads an age from a command line.
func ParseAge(text string) (time.Duration, error) {
	var a age
	if err := a.UnmarshalText([]byte(text)); err != nil {
		return 0, fmt.Errorf("%q is %w", text, err)
	}
	if a < 0 || a > age(decade) {
		return 0, fmt.Errorf("%s is out of range; want 0 to %s", text, ShowAge(time.Duration(decade)))
	}
	return time.Duration(a), nil
}

// ParseSize reads a number of bytes from a command line.
func ParseSize(text string) (int64, error) {
	var n size
	if err := n.UnmarshalText([]byte(text)); err != nil {
		return 0, fmt.Errorf("%q is %w", text, err)
	}
	if n < 0 {
		return 0, fmt.Errorf("%s is out of range; want at least 0", text)
	}
	return int64(n), nil
}

// retention settles what is kept. A file says it for good, so it can't say that
// nothing is.
func (r *resolver) retention() {
	c, d := &r.cfg.Retention, &r.doc.Retention
	for _, f := range []struct {
		path string
		from *age
		to   **time.Duration
	}{
		{"retention.outputs.age", d.Outputs.Age, &c.OutputAge},
		{"retention.images.age", d.Images.Age, &c.ImageAge},
		{"retention.rejected.age", d.Rejected.Age, &c.RejectedAge},
	} {
		if f.from == nil {
			continue
		}
		value := time.Duration(*f.from)
		if value < time.Hour || value > time.Duration(decade) {
			r.errorf(f.path, "%s is out of range; want 1h to %s", ShowAge(value), ShowAge(time.Duration(decade)))
		}
		*f.to = &value
	}
	if d.Outputs.Size != nil {
		value := int64(*d.Outputs.Size)
		if value < mib {
			r.errorf("retention.outputs.size", "%s is out of range; want at least 1Mi", show(size(value)))
		}
		c.OutputBytes = &value
	}
}

// values adds what a file could say.
func (t Retention) values(v map[string]any) {
	for path, d := range map[string]*time.Duration{"outputs.age": t.OutputAge, "images.age": t.ImageAge, "rejected.age": t.RejectedAge} {
		v["retention."+path] = nil
		if d != nil {
			v["retention."+path] = ShowAge(*d)
		}
	}
	v["retention.outputs.size"] = nil
	if t.OutputBytes != nil {
		v["retention.outputs.size"] = show(size(*t.OutputBytes))
	}
}
