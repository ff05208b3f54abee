// Command job is the program that the soak runs. The base name of its last argument
// says what it does, which decides how it must end:
//
//	quick     works for a moment
//	long      works for some seconds
//	files     works for a moment, and leaves many files
//	fails     works, and exits with status 7
//	crashes   works, and ends itself by SIGTERM
//	shot      works, and ends itself by SIGKILL
//	flaky     exits with status 9 before its third attempt, and then works
//	breaches  works, sends a sample that breaks its study's rule, and stays
//	stays     works, and stays until something ends it
//
// Work is numbered lines on both streams and numbered samples, so that each that is
// missing shows. A job ends only when each of its samples is acknowledged.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	if err := run(filepath.Base(os.Args[len(os.Args)-1])); err != nil {
		fmt.Fprintln(os.Stderr, "job:", err)
		os.Exit(70)
	}
}

func run(kind string) error {
	if kind == "flaky" {
		if n, err := attempt(); err != nil || n < 3 {
			os.Exit(9)
		}
	}
	duration := time.Second / 4
	if kind == "long" {
		duration = 6 * time.Second
	}
	samples := &series{}
	if err := work(samples, duration); err != nil {
		return err
	}
	switch kind {
	case "fails":
		os.Exit(7)
	case "crashes":
		return end(syscall.SIGTERM)
	case "shot":
		return end(syscall.SIGKILL)
	case "breaches":
		samples.send(-1)
		time.Sleep(time.Hour)
	case "stays":
		time.Sleep(time.Hour)
	case "files":
		return leave(20)
	}
	return leave(1)
}

// end ends this process by a signal, which may take a moment to arrive.
func end(sig syscall.Signal) error {
	if err := syscall.Kill(os.Getpid(), sig); err != nil {
		return err
	}
	time.Sleep(time.Hour)
	return nil
}

// attempt is the number of this attempt.
func attempt() (int, error) {
	data, err := os.ReadFile(os.Getenv("TETRYX_RUN_CONFIG"))
	if err != nil {
		return 0, err
	}
	var config struct {
		Attempt int `json:"attempt"`
	}
	return config.Attempt, json.Unmarshal(data, &config)
}

// steps is how many lines and samples there are.
const steps = 100

func work(samples *series, duration time.Duration) error {
	for i := range steps {
		for _, out := range []*os.File{os.Stdout, os.Stderr} {
			if _, err := fmt.Fprintf(out, "line %d\n", i+1); err != nil {
				return err
			}
		}
		samples.send(float64(i + 1))
		time.Sleep(duration / steps)
	}
	return nil
}

// leave writes numbered files.
func leave(n int) error {
	for i := range n {
		name := filepath.Join(os.Getenv("TETRYX_OUTPUT_DIR"), fmt.Sprintf("file-%d.txt", i+1))
		if err := os.WriteFile(name, fmt.Appendf(nil, "file %d\n", i+1), 0o644); err != nil {
			return err
		}
	}
	return nil
}
