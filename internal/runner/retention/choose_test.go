package retention

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tetryx/lynx-runner/executor"
	"github.com/tetryx/lynx-runner/internal/runner/journal"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

func ptr[T any](v T) *T { return &v }

func TestChoose(t *testing.T) {
	attempts := []Attempt{
		{ID: "new", Dir: "b/4", Ended: noon.Add(-day), Bytes: 10},
		{ID: "old", Dir: "b/1", Ended: noon.Add(-40 * day), Bytes: 10},
		{ID: "older", Dir: "b/0", Ended: noon.Add(-50 * day), Bytes: 10, Needed: "its files are not sent"},
		{ID: "twin", Dir: "b/3", Ended: noon.Add(-20 * day), Bytes: 10},
		{ID: "middle", Dir: "b/2", Ended: noon.Add(-20 * day), Bytes: 10},
		{ID: "future", Dir: "b/5", Ended: noon.Add(day), Bytes: 10},
	}
	for name, tc := range map[string]struct {
		age  *time.Duration
		size *int64
		want []string
	}{
		"no bounds":            {nil, nil, nil},
		"age":                  {ptr(30 * day), nil, []string{"old"}},
		"exactly that old":     {ptr(20 * day), nil, []string{"old"}},
		"size":                 {nil, ptr[int64](40), []string{"old", "middle"}},
		"it fits exactly":      {nil, ptr[int64](60), nil},
		"age makes it fit":     {ptr(30 * day), ptr[int64](50), []string{"old"}},
		"age and size":         {ptr(30 * day), ptr[int64](45), []string{"old", "middle"}},
		"nothing may stay":     {nil, ptr[int64](0), []string{"old", "middle", "twin", "new", "future"}},
		"no age is old enough": {ptr(time.Duration(0)), nil, []string{"old", "middle", "twin", "new"}},
	} {
		var got []string
		for _, c := range Choose(attempts, tc.age, tc.size, noon) {
			got = append(got, c.ID)
			if c.Why == "" {
				t.Errorf("%s: %s goes without a reason", name, c.ID)
			}
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

// What is needed never goes; what stays fits, or all of it is needed; nothing goes
// that no bound asks for; and of two that no age takes, the younger never goes
// before the older.
func TestChooseProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var attempts []Attempt
		for i := range rapid.IntRange(0, 12).Draw(rt, "attempts") {
			attempts = append(attempts, Attempt{
				ID: fmt.Sprint(i), Dir: fmt.Sprint(i), Ended: noon.Add(-time.Duration(rapid.IntRange(-2, 10).Draw(rt, "age")) * day),
				Bytes: rapid.Int64Range(0, 5).Draw(rt, "bytes"), Needed: rapid.SampledFrom([]string{"", "", "needed"}).Draw(rt, "needed"),
			})
		}
		var age *time.Duration
		var size *int64
		if rapid.Bool().Draw(rt, "by age") {
			age = ptr(time.Duration(rapid.IntRange(0, 8).Draw(rt, "older than")) * day)
		}
		if rapid.Bool().Draw(rt, "by size") {
			size = ptr(rapid.Int64Range(0, 30).Draw(rt, "size"))
		}
		choices := Choose(attempts, age, size, noon)
		gone := map[string]bool{}
		for _, c := range choices {
			if c.Needed != "" || gone[c.ID] {
				rt.Fatalf("%+v goes", c)
			}
			gone[c.ID] = true
		}
		var stays, needed, tooOld int64
		for _, a := range attempts {
			old := age != nil && noon.Sub(a.Ended) > *age
			switch {
			case gone[a.ID]:
			case old && a.Needed == "":
				tooOld++
			default:
				stays += a.Bytes
				if a.Needed != "" {
					needed += a.Bytes
				}
			}
		}
		if tooOld > 0 || size != nil && stays > *size && stays != needed {
			rt.Fatalf("%d too old; %d stay, of which %d are needed", tooOld, stays, needed)
		}
		before := stays // what there was before the last went fitted not
		for i := len(choices) - 1; i >= 0; i-- {
			c := choices[i]
			if age != nil && noon.Sub(c.Ended) > *age {
				continue
			}
			if before += c.Bytes; size == nil || before <= *size {
				rt.Fatalf("%s need not go", c.ID)
			}
			for _, a := range attempts {
				if !gone[a.ID] && a.Needed == "" && a.Ended.Before(c.Ended) {
					rt.Fatalf("%s goes before the older %s", c.ID, a.ID)
				}
			}
		}
	})
}

func TestNobodysContainer(t *testing.T) {
	held := journal.Held{InstallationID: "0123456789abcdef0123456789abcdef", InHand: map[string]bool{"mine-1": true}}
	for name, tc := range map[string]struct {
		c    executor.Container
		want bool
	}{
		"ended":                   {executor.Container{AttemptID: "a-1", RuntimeDir: "/run/x/01234567/abc", Ended: true}, true},
		"running":                 {executor.Container{AttemptID: "a-1", RuntimeDir: "/run/x/01234567/abc"}, false},
		"in hand":                 {executor.Container{AttemptID: "mine-1", RuntimeDir: "/run/x/01234567/abc", Ended: true}, false},
		"of another installation": {executor.Container{AttemptID: "a-1", RuntimeDir: "/run/x/76543210/abc", Ended: true}, false},
		"of nobody knows whom":    {executor.Container{AttemptID: "a-1", Ended: true}, false},
	} {
		if got := NobodysContainer(tc.c, held); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWhyImage(t *testing.T) {
	old, recent := noon.Add(-10*day), noon.Add(-day)
	for name, tc := range map[string]struct {
		image   executor.Image
		age     *time.Duration
		mayPull bool
		goes    bool
	}{
		"older build":             {executor.Image{Title: "lynx-basilisk"}, nil, false, true},
		"older build in use":      {executor.Image{Title: "lynx-basilisk", InUse: true}, nil, false, false},
		"newest build":            {executor.Image{Title: "lynx-basilisk", Names: []string{"lynx-basilisk:latest"}, Created: old}, ptr(day), true, false},
		"stage":                   {executor.Image{Stage: true, Created: old}, nil, false, false},
		"old stage":               {executor.Image{Stage: true, Created: old}, ptr(5 * day), false, true},
		"recent stage":            {executor.Image{Stage: true, Created: recent}, ptr(5 * day), false, false},
		"named stage":             {executor.Image{Stage: true, Created: old, Names: []string{"mine"}}, ptr(5 * day), false, false},
		"pulled":                  {executor.Image{Pulled: true, Used: old, Names: []string{"x"}}, ptr(5 * day), true, true},
		"pulled, used":            {executor.Image{Pulled: true, Used: recent, Created: old, Names: []string{"x"}}, ptr(5 * day), true, false},
		"pulled, for good":        {executor.Image{Pulled: true, Used: old, Names: []string{"x"}}, nil, true, false},
		"pulled, and never again": {executor.Image{Pulled: true, Used: old, Names: []string{"x"}}, ptr(5 * day), false, false},
		"pulled, in use":          {executor.Image{Pulled: true, Used: old, InUse: true}, ptr(5 * day), true, false},
		"somebody else's":         {executor.Image{Created: old}, ptr(day), true, false},
	} {
		if why := WhyImage(tc.image, tc.age, tc.mayPull, noon); (why != "") != tc.goes {
			t.Errorf("%s: %q", name, why)
		}
	}
}
