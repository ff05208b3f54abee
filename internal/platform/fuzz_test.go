package platform_test

import (
	"errors"
	"regexp"
	"testing"

	"github.com/tetryx/lynx-runner/internal/platform"
)

// FuzzAttemptID: an attempt's id that is taken apart is the one that its parts make.
func FuzzAttemptID(f *testing.F) {
	for _, id := range []string{"job-1", "a-b-12", "-1", "job-", "job-01", "job-+1", "job--1", "job-99999999999999999999", "\xff-2", "job-1\n"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		job, number, err := platform.ParseAttemptID(id)
		var bad *platform.InvalidError
		switch {
		case err != nil && (!errors.As(err, &bad) || bad.Field != "attempt_id" || job != "" || number != 0):
			t.Errorf("%q: %q, %d, %v", id, job, number, err)
		case err == nil && (number < 1 || platform.AttemptID(job, number) != id):
			t.Errorf("%q is attempt %d of %q", id, number, job)
		}
	})
}

// FuzzPosition: the id of an event that is taken is one that the platform writes.
func FuzzPosition(f *testing.F) {
	for _, id := range []string{"1-2", "0-0", "18446744073709551615-18446744073709551616", "1", "1-2-3", "+1-2", "1- 2"} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		p, err := platform.ParsePosition(id)
		var bad *platform.InvalidError
		if err == nil && p.String() != id || err != nil && !errors.As(err, &bad) {
			t.Errorf("%q is %v, %v", id, p, err)
		}
	})
}

// FuzzCursor: a cursor is one that a list gives out, and goes on behind the item
// that it stands for; anything else is the caller's mistake.
func FuzzCursor(f *testing.F) {
	for _, cursor := range []string{"1", "2.1", "1.2", "3.0", "+2.1", " 2.1", "2.1x", "2.1 ", "02.1", "1e1", "-1.0", "1.-1", "9223372036854775807.9", "9223372036854775808", "1_0", "2.+1"} {
		f.Add(cursor)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		if cursor == "" {
			return // the first page
		}
		w := newWorld(t)
		first := w.submit(3, "")
		w.submit(3, "")
		all, _, err := w.svc.Jobs(t.Context(), platform.JobFilter{}, platform.Page{})
		w.ok(err)
		known := map[string]int{} // what is left behind each cursor
		for i := range len(all) - 1 {
			page, next, err := w.svc.Jobs(t.Context(), platform.JobFilter{}, platform.Page{Limit: i + 1})
			w.ok(err)
			known[next] = len(all) - len(page)
		}
		rest, _, err := w.svc.Jobs(t.Context(), platform.JobFilter{}, platform.Page{After: cursor})
		w.invalid(cursor, err)
		if left, ok := known[cursor]; ok && (err != nil || len(rest) != left) {
			t.Errorf("behind %q are %d jobs, want %d; %v", cursor, len(rest), left, err)
		}
		for i := 1; i < len(rest); i++ {
			if rest[len(rest)-i].ID != all[len(all)-i].ID {
				t.Fatalf("behind %q comes %s, where the list has %s", cursor, rest[len(rest)-i].ID, all[len(all)-i].ID)
			}
		}
		_, _, err = w.svc.Batches(t.Context(), platform.Page{After: cursor})
		w.invalid(cursor, err)
		results, _, err := w.svc.BatchResults(t.Context(), first.ID, platform.Page{After: cursor})
		w.invalid(cursor, err)
		for _, r := range results {
			w.equal("batch", r.BatchID, first.ID)
		}
	})
}

// digits is how lists write a cursor.
var digits = regexp.MustCompile(`^(0|[1-9][0-9]*)([.](0|[1-9][0-9]*))?$`)

// invalid checks that a cursor was refused as one, or is written as lists do.
func (w *world) invalid(cursor string, err error) {
	w.Helper()
	var bad *platform.InvalidError
	switch {
	case err != nil && (!errors.As(err, &bad) || bad.Field != "cursor"):
		w.Errorf("%q: %v", cursor, err)
	case err == nil && !digits.MatchString(cursor):
		w.Errorf("%q is taken", cursor)
	}
}
