package rest

import (
	"math"
	"strings"

	"github.com/tetryx/lynx-runner/api"
)

const (
	// maxSeries is how many variables one answer has at most.
	maxSeries = 200
	// maxNames bounds the names that are counted as left out.
	maxNames = 10_000
)

// plot gathers telemetry into one series for each variable. What it holds does
// not grow with the number of values: maxSeries times the points of a series.
type plot struct {
	// wanted are the names of the variables; none means all.
	wanted map[string]bool
	// from and to bound the time, both included.
	from, to float64
	points   int

	order   []*series
	byName  map[string]*series
	leftOut map[string]bool
}

func newPlot(in *telemetryQuery) *plot {
	p := &plot{
		from: math.Inf(-1), to: math.Inf(1), points: in.MaxPoints,
		wanted: map[string]bool{}, byName: map[string]*series{}, leftOut: map[string]bool{},
	}
	if in.From.IsSet {
		p.from = in.From.Value
	}
	if in.To.IsSet {
		p.to = in.To.Value
	}
	for _, name := range in.Variables {
		p.wanted[name] = true
	}
	return p
}

// add takes one value in. The texts may be parts of a buffer.
func (p *plot) add(time float64, name string, value float64, unit string) {
	if !(time >= p.from && time <= p.to) || math.IsInf(time, 0) || len(p.wanted) > 0 && !p.wanted[name] {
		return
	}
	s := p.byName[name]
	if s == nil {
		if len(p.order) >= maxSeries {
			if len(p.leftOut) < maxNames && !p.leftOut[name] {
				p.leftOut[strings.Clone(name)] = true
			}
			return
		}
		s = &series{name: strings.Clone(name), unit: strings.Clone(unit), width: 1, limit: p.points}
		p.byName[s.name] = s
		p.order = append(p.order, s)
	}
	s.add(point{at: s.count, time: time, value: value})
}

// fill makes the answer's part.
func (p *plot) fill(t *api.Telemetry) {
	t.Variables = make([]api.Series, len(p.order))
	t.VariablesLeftOut = len(p.leftOut)
	for i, s := range p.order {
		t.Variables[i] = s.view()
		t.Downsampled = t.Downsampled || s.width > 1
	}
}

// point is one value and its place in the series.
type point struct {
	at          uint64
	time, value float64
}

func (p point) finite() bool { return !math.IsNaN(p.value) && !math.IsInf(p.value, 0) }

// stretch is consecutive values, represented by the finite extremes, or by the
// first value if none is finite.
type stretch struct {
	n         uint64
	low, high point
}

func (s *stretch) join(o stretch) {
	switch {
	case s.n == 0:
		*s = o
		return
	case !o.low.finite():
	case !s.low.finite():
		s.low, s.high = o.low, o.high
	default:
		if o.low.value < s.low.value {
			s.low = o.low
		}
		if o.high.value > s.high.value {
			s.high = o.high
		}
	}
	s.n += o.n
}

// series is one variable. As long as its values are few it has them all. Once
// they are more than limit, stretches of width values each take their place, and
// whenever there are too many of those, they are joined in pairs and width is
// doubled.
type series struct {
	name, unit  string
	limit       int
	count       uint64
	nonFinite   uint64
	width       uint64
	stretches   []stretch
	first, last point
}

// room is how many stretches there may be: each makes up to two points, and the
// first and the last value are points besides.
func (s *series) room() int {
	if s.width == 1 {
		return s.limit
	}
	return (s.limit - 2) / 2
}

func (s *series) add(p point) {
	if s.count == 0 {
		s.first = p
	}
	s.last = p
	s.count++
	if !p.finite() {
		s.nonFinite++
	}
	one := stretch{n: 1, low: p, high: p}
	if n := len(s.stretches); n > 0 && s.stretches[n-1].n < s.width {
		s.stretches[n-1].join(one)
		return
	}
	s.stretches = append(s.stretches, one)
	for len(s.stretches) > s.room() {
		s.halve()
	}
}

// halve joins the stretches in pairs; one at the end without a partner goes on
// growing.
func (s *series) halve() {
	s.width *= 2
	half := s.stretches[:0]
	for i := 0; i < len(s.stretches); i += 2 {
		joined := s.stretches[i]
		if i+1 < len(s.stretches) {
			joined.join(s.stretches[i+1])
		}
		half = append(half, joined)
	}
	s.stretches = half
}

// view makes the points, in their order, none twice.
func (s *series) view() api.Series {
	v := api.Series{
		Name: s.name, Unit: s.unit, Count: s.count, NonFinite: s.nonFinite, Downsampled: s.width > 1,
		Times: make([]float64, 0, 2*len(s.stretches)+2), Values: make([]api.Number, 0, 2*len(s.stretches)+2),
	}
	next := uint64(0)
	put := func(p point) {
		if p.at < next {
			return
		}
		next = p.at + 1
		v.Times = append(v.Times, p.time)
		v.Values = append(v.Values, api.Number(p.value))
	}
	put(s.first)
	for _, st := range s.stretches {
		a, b := st.low, st.high
		if b.at < a.at {
			a, b = b, a
		}
		put(a)
		put(b)
	}
	put(s.last)
	return v
}
