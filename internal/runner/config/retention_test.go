package config

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Nothing is removed unless somebody said so.
func TestEverythingIsKeptByDefault(t *testing.T) {
	c, err := loadAlone(t, "{}", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Retention != (Retention{}) {
		t.Errorf("%+v", c.Retention)
	}
}

func TestParseAge(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"30d": 30 * day, "2w": 14 * day, "1.5d": 36 * time.Hour, "36h": 36 * time.Hour, "90": 90 * time.Second, "0": 0, " 1d ": day,
	} {
		if got, err := ParseAge(text); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "30days", "-1d", "nand", "infw", "1e300d", "99999w", "1Gi"} {
		if got, err := ParseAge(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"50Gi": 50 << 30, "0": 0, "1k": 1000} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "30d", "50m"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// What is shown is read as the same.
func TestShowAge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := time.Duration(rapid.Int64Range(0, int64(decade)).Draw(rt, "age"))
		if rapid.Bool().Draw(rt, "whole days") {
			want = want.Truncate(day)
		}
		if got, err := ParseAge(ShowAge(want)); err != nil || got != want {
			rt.Fatalf("%v is shown as %s, which is %v, %v", want, ShowAge(want), got, err)
		}
	})
}
