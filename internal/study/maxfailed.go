package study

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// MaxFailed is how many runs of a batch may end Failed or Timeout before the batch
// itself has failed: a count, or a percentage of the runs. The zero value is none.
type MaxFailed struct {
	count int
	// millionths of the runs, if percent; whole numbers, so that 0.29 % of
	// 10,000 is 29 and not 28.999.
	millionths int
	percent    bool
}

var percentage = regexp.MustCompile(`^([0-9]{1,3})(?:\.([0-9]{1,4}))?$`)

// ParseMaxFailed reads a count from 0 to MaxRuns ("3"), or a percentage from 0 to
// 100 with up to four decimals ("2%", "0.5%").
func ParseMaxFailed(text string) (MaxFailed, error) {
	if number, ok := strings.CutSuffix(text, "%"); ok {
		parts := percentage.FindStringSubmatch(number)
		if parts == nil {
			return MaxFailed{}, errors.New(`want a percentage such as "2%" or "0.5%", with at most four decimals`)
		}
		millionths, err := strconv.Atoi(parts[1] + parts[2] + strings.Repeat("0", 4-len(parts[2])))
		if err != nil || millionths > 1_000_000 {
			return MaxFailed{}, errors.New("a percentage is at most 100%")
		}
		return MaxFailed{millionths: millionths, percent: true}, nil
	}
	count, err := strconv.Atoi(text)
	if err != nil || count < 0 || count > MaxRuns {
		return MaxFailed{}, fmt.Errorf(`want a count from 0 to %d, or a percentage such as "2%%"`, MaxRuns)
	}
	return MaxFailed{count: count}, nil
}

// Limit is the largest number of failed jobs, of total, with which a batch has not
// failed. A percentage is rounded down.
func (m MaxFailed) Limit(total int) int {
	if m.percent {
		return int(int64(total) * int64(m.millionths) / 1_000_000)
	}
	return m.count
}

// String is the form that ParseMaxFailed reads.
func (m MaxFailed) String() string {
	if !m.percent {
		return strconv.Itoa(m.count)
	}
	return strconv.FormatFloat(float64(m.millionths)/1e4, 'f', -1, 64) + "%"
}

// UnmarshalText is ParseMaxFailed.
func (m *MaxFailed) UnmarshalText(text []byte) (err error) {
	*m, err = ParseMaxFailed(string(text))
	return err
}

// MarshalJSON is a number for a count and a text for a percentage.
func (m MaxFailed) MarshalJSON() ([]byte, error) {
	if m.percent {
		return strconv.AppendQuote(nil, m.String()), nil
	}
	return []byte(m.String()), nil
}
