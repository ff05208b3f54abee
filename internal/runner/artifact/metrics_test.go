package artifact

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestParseMetrics(t *testing.T) {
	long := strings.Repeat("n", 64)
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	cases := []struct {
		name, doc string
		want      map[string]float64
		leftOut   int
	}{
		{"empty", `{}`, nil, 0},
		{"numbers and booleans", `{"a":1.5,"b":true,"c":false,"d":-2e-3}`, map[string]float64{"a": 1.5, "b": 1, "c": 0, "d": -0.002}, 0},
		{"texts and nulls are no metrics", `{"a":"1","b":null,"c":3}`, map[string]float64{"c": 3}, 0},
		{"nested", `{"o":{"r":{"km":7},"e":0},"x":1}`, map[string]float64{"o.r.km": 7, "o.e": 0, "x": 1}, 0},
		{"arrays are left out", `{"a":[1,[2],{"b":3}],"c":1}`, map[string]float64{"c": 1}, 1},
		{"out of range", `{"a":1e999,"b":-1e999,"c":1e-999}`, map[string]float64{"c": 0}, 2},
		{"python's NaN", `{"a":NaN,"b":{"c":-Infinity},"d":Infinity,"e":1}`, map[string]float64{"e": 1}, 3},
		{"not python's NaN", `{"a":"NaN \"NaN","NaN":NaN,"Infinity":2}`, map[string]float64{"Infinity": 2}, 1},
		{"bad names", `{"a b":1,"":2,"é":3,"a/b":4,"a\n":5,"ok":6}`, map[string]float64{"ok": 6}, 5},
		{"name lengths", `{"` + long + `":1,"` + long + `n":2,"` + long + `x":{"y":3}}`, map[string]float64{long: 1}, 2},
		{"the last duplicate counts", `{"a":1,"a":2,"b":{"c":1},"b.c":3}`, map[string]float64{"a": 2, "b.c": 3}, 2},
		{"too deep", `{"x":1,"d":` + deep + `}`, map[string]float64{"x": 1}, 1},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			got, leftOut, err := parseMetrics([]byte(tc.doc))
			must(t, err)
			if tc.want == nil {
				tc.want = map[string]float64{}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || leftOut != tc.leftOut {
				t.Errorf("left out %d, want %d\n%s", leftOut, tc.leftOut, diff)
			}
		})
	}
}

func TestParseMetricsKeepsTheFirst200(t *testing.T) {
	var b strings.Builder
	for i := range 250 {
		fmt.Fprintf(&b, `,"m%d":%d`, i, i)
	}
	got, leftOut, err := parseMetrics([]byte("{" + b.String()[1:] + "}"))
	must(t, err)
	if _, ok := got["m199"]; len(got) != 200 || leftOut != 50 || !ok {
		t.Errorf("%d metrics, %d left out", len(got), leftOut)
	}
}

func TestParseMetricsRefuses(t *testing.T) {
	for _, doc := range []string{``, `[]`, `1`, `{`, `{"a":}`, `{"a":1`, `{"a":1}{}`, `{"a":1} x`, `{1:2}`, `{"a":[}`, `nul`, strings.Repeat("[", 1000)} {
		if got, _, err := parseMetrics([]byte(doc)); err == nil {
			t.Errorf("%q gives %v", doc, got)
		}
	}
}

func TestMetricsReadsOnlyAnHonestFile(t *testing.T) {
	summary := func(dir string) string { return filepath.Join(dir, metricsFile) }
	cases := map[string]func(dir string){
		"a link": func(dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "other"), []byte(`{"a":1}`), 0o600))
			must(t, os.Symlink("other", summary(dir)))
		},
		"a hard link": func(dir string) {
			must(t, os.WriteFile(summary(dir), []byte(`{"a":1}`), 0o600))
			must(t, os.Link(summary(dir), filepath.Join(dir, "other")))
		},
		"a fifo":      func(dir string) { must(t, unix.Mkfifo(summary(dir), 0o600)) },
		"a directory": func(dir string) { must(t, os.Mkdir(summary(dir), 0o700)) },
		"too large":   func(dir string) { must(t, os.WriteFile(summary(dir), make([]byte, maxMetricsBytes+1), 0o600)) },
		"not JSON":    func(dir string) { must(t, os.WriteFile(summary(dir), []byte("done"), 0o600)) },
	}
	for name, make := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			make(dir)
			if m, _, err := Metrics(dir); err == nil || m != nil || !strings.Contains(err.Error(), metricsFile) {
				t.Errorf("%v, %v", m, err)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		if m, n, err := Metrics(t.TempDir()); m != nil || n != 0 || err != nil {
			t.Errorf("%v, %d, %v", m, n, err)
		}
	})
	t.Run("an honest one", func(t *testing.T) {
		m, n, err := Metrics(tree(t, map[string]string{metricsFile: `{"final":{"radius_km":6999.5},"ok":true}`}))
		if diff := cmp.Diff(map[string]float64{"final.radius_km": 6999.5, "ok": 1}, m); diff != "" || n != 0 || err != nil {
			t.Errorf("%d, %v\n%s", n, err, diff)
		}
	})
}

// Whatever a job writes: no panic, and every metric is one.
func FuzzParseMetrics(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":{"b":1,"c":[true]},"d":NaN}`, `{"a":"\"NaN"}`, `{"a":1e999}`, `{"\ud800":1}`, `{"a":`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		metrics, leftOut, err := parseMetrics(data)
		if err != nil {
			return
		}
		if len(metrics) > maxMetrics || leftOut < 0 {
			t.Fatalf("%d metrics, %d left out", len(metrics), leftOut)
		}
		for name, value := range metrics {
			if !validMetricName(name) || math.IsNaN(value) || math.IsInf(value, 0) {
				t.Fatalf("metric %q is %v", name, value)
			}
		}
		// What is JSON already means the same to us as to everybody.
		if json.Valid(data) && string(withoutNaN(data)) != string(data) && !json.Valid(withoutNaN(data)) {
			t.Fatalf("%q became %q", data, withoutNaN(data))
		}
	})
}
