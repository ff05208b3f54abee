// Command job is the program that the fault tests run: it prints numbered lines and
// publishes numbered samples, in two halves, and between them waits for a word of
// the test's, so that a fault can happen while it runs. What is missing of either
// shows.
//
//	job CODE LINES SAMPLES [STOPS]   exits with CODE
//
// The word is a file named go in the output directory; the job removes it. With two
// STOPS it waits for another one before it writes its result.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

func main() {
	if err := run(number(2), number(3)); err != nil {
		fmt.Fprintln(os.Stderr, "job:", err)
		os.Exit(70)
	}
	os.Exit(number(1))
}

func run(lines, samples int) error {
	output := os.Getenv("TETRYX_OUTPUT_DIR")
	if err := half(0, lines, samples); err != nil {
		return err
	}
	// Where a disk is full, a log that has begun still takes a line.
	fmt.Fprintln(os.Stderr, "half of it is done")
	if err := os.WriteFile(filepath.Join(output, "ready"), nil, 0o644); err != nil {
		return err
	}
	await(output)
	if err := half(1, lines, samples); err != nil {
		return err
	}
	if number(4) == 2 {
		await(output)
	}
	return os.WriteFile(filepath.Join(output, "result.txt"), []byte("the result\n"), 0o644)
}

// await waits for the test's word.
func await(output string) {
	for os.Remove(filepath.Join(output, "go")) != nil {
		time.Sleep(5 * time.Millisecond)
	}
}

// number is an argument; 0 where there is none.
func number(i int) int {
	if i >= len(os.Args) {
		return 0
	}
	n, _ := strconv.Atoi(os.Args[i])
	return n
}

// half prints the lines and publishes the samples of one half.
func half(which, lines, samples int) error {
	for i := range lines {
		if _, err := fmt.Printf("line %d\n", which*lines+i+1); err != nil {
			return err
		}
	}
	if samples == 0 {
		return nil
	}
	conn, err := grpc.NewClient("passthrough:///"+os.Getenv("TETRYX_TELEMETRY_TARGET"),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	for i := range samples {
		n := float64(which*samples + i + 1)
		sample := &telemetryv1.Sample{TimeSeconds: n, Values: []*telemetryv1.Value{{Name: "n", Value: n}}}
		if _, err := telemetryv1.NewTelemetryServiceClient(conn).Publish(context.Background(), &telemetryv1.PublishRequest{Sample: sample}); err != nil {
			return err
		}
	}
	return nil
}
