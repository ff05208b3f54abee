package config

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDiskReserve(t *testing.T) {
	const gib = 1 << 30
	for text, want := range map[string]struct {
		of100GiB, of10GiB int64
		says              string
	}{
		"5% or 2Gi":   {2 * gib, gib / 2, "5% or 2Gi"},
		" 5 %":        {5 * gib, gib / 2, "5%"},
		"2Gi":         {2 * gib, 2 * gib, "2Gi"},
		"0":           {0, 0, "0"},
		"0%":          {0, 0, "0%"},
		"2.5% or 1Gi": {gib, gib / 4, "2.5% or 1Gi"},
	} {
		var d DiskReserve
		if err := d.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if a, b := d.Of(100*gib), d.Of(10*gib); a != want.of100GiB || b != want.of10GiB || d.String() != want.says {
			t.Errorf("%q: %d of 100 GiB, %d of 10 GiB, says %q", text, a, b, d)
		}
	}
	for _, text := range []string{"", "5", "-1Gi", "91%", "-1%", "NaN%", "Inf%", "1e400%", "2Gi or 5%", "5% or", "5% or 2Gi or 1Gi", "5% or 3%", "lots", "5%2Gi", "2Ei"} {
		var d DiskReserve
		if err := d.UnmarshalText([]byte(text)); text != "5" && (err == nil || !strings.Contains(err.Error(), "5% or 2Gi")) {
			t.Errorf("%q: %+v, %v", text, d, err)
		}
	}
}

// A reserve is never more than the file system, nor than either of its parts.
func TestDiskReserveBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := DiskReserve{Percent: rapid.Float64Range(-1, 90).Draw(t, "percent"), Bytes: rapid.Int64Range(0, 1<<50).Draw(t, "bytes")}
		total := rapid.Int64Range(0, math.MaxInt64/2).Draw(t, "total")
		got := d.Of(total)
		if got < 0 || got > d.Bytes || d.Percent >= 0 && got > total {
			t.Errorf("%+v of %d is %d", d, total, got)
		}
	})
}

// What all jobs are given and what the host keeps is never more than there is,
// whatever was declared; and a job that asks for nothing fits.
func TestJobMemory(t *testing.T) {
	const gib = 1 << 30
	told := func(n int64) int64 { return n / memoryPrecision * gib / 100 }
	for name, tc := range map[string]struct {
		host       int64
		text       string
		want, each int64
	}{
		"default":         {16 * gib, "{}", told(16*gib - 1638*mib), gib},
		"declared":        {16 * gib, "capabilities: {memory_gb: 3}", 3 * gib, gib},
		"more than it is": {16 * gib, "capabilities: {memory_gb: 64}\nreserve: {memory: 1Gi}", 15 * gib, gib},
		"no reserve":      {16 * gib, "reserve: {memory: 0}", 16 * gib, gib},
		"small host":      {gib, "{}", told(gib - 256*mib), told(gib - 256*mib)},
		"tiny host":       {64 * mib, "{}", told(32 * mib), told(32 * mib)},
		"large host":      {1024 * gib, "{}", 1020 * gib, gib},
		"little declared": {16 * gib, "capabilities: {memory_gb: 0.5}", gib / 2, gib / 2},
	} {
		c, err := onHost(tc.host, tc.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := c.JobMemoryBytes(); got != tc.want || c.Limits.MemoryBytes != tc.each || got > tc.host-c.Reserve.MemoryBytes {
			t.Errorf("%s: %d of memory for jobs, %d for each; want %d, %d", name, got, c.Limits.MemoryBytes, tc.want, tc.each)
		}
	}
	for text, says := range map[string]string{
		"reserve: {memory: 16Gi}":                                         "reserve.memory: 16Gi of this host's 16Gi leaves nothing for jobs",
		"sandbox: {memory: 15Gi, max_memory: 15Gi}":                       "sandbox.memory: 15Gi is more than the ",
		"sandbox: {cpu: 3, max_cpu: 3}\ncapabilities: {cpu_cores: 2}":     "sandbox.cpu: 3 CPU is more than the 2 CPU of capabilities.cpu_cores",
		"sandbox: {memory: 3Gi}\ncapabilities: {memory_gb: 2}":            "sandbox.memory: 3Gi is more than the 2Gi that all jobs",
		"reserve: {disk: 95%}":                                            "a part is 0% to 90%",
		"reserve: {disc: 5%}":                                             "reserve.disc",
		"reserve: {memory: -1}":                                           "reserve.memory: -1 of",
		"capabilities: {cpu_cores: 0.001}\nsandbox: {cpu: 1, max_cpu: 1}": "sandbox.cpu: 1 CPU is more than",
	} {
		if _, err := onHost(16*gib, text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}
