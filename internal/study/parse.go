package study

import (
	"fmt"

	"github.com/tetryx/lynx-runner/internal/strictyaml"
)

// Parse reads a study in YAML or JSON and checks all of it. A document whose top
// level has the key `config` is the whole request; any other is its config alone,
// and the batch is then named after the simulation. filename is for the messages
// only.
//
// Its error is a *strictyaml.Errors: everything that is wrong, each with its line,
// its path in the document, the value and what would be right.
func Parse(data []byte, filename string) (*Request, error) {
	doc, err := strictyaml.Parse(data, filename)
	if err != nil {
		return nil, err
	}
	r := &Request{}
	c := checker{doc: doc}
	if doc.Has("config") {
		c.config = "config"
		doc.Root().Decode(r)
	} else {
		doc.Root().Decode(&r.Config)
	}
	c.request(r)
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return r, nil
}

// SetRuns overrides the number of runs, as `runs_override` does.
func (r *Request) SetRuns(n int) error {
	if problem := checkSize(n, len(r.Config.Dispersions)); problem != "" {
		return fmt.Errorf("runs: %s", problem)
	}
	r.RunsOverride = &n
	return nil
}

// checkSize says what is wrong with a design's size, or "".
func checkSize(runs, parameters int) string {
	switch {
	case runs < 1 || runs > MaxRuns:
		return outOfRange(runs, 1, MaxRuns)
	case runs*parameters > MaxValues:
		return fmt.Sprintf("%d runs of %d parameters are too many values; want at most %d in all, so at most %d runs", runs, parameters, MaxValues, MaxValues/parameters)
	}
	return ""
}

func outOfRange[N int | int64 | uint64 | float64](got, least, most N) string {
	return fmt.Sprintf("%v is out of range; want %v to %v", got, least, most)
}
