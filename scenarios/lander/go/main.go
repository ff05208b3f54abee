// Lander simulates the last kilometres of a descent to the Moon: a fall, then
// one burn at constant thrust straight up. It is an example of a scenario that
// is a program in an image, in another language than Python, and knows nothing of
// lynx-runner but the contract in docs/scenario.md: it reads the run configuration
// (config.go), flies (flight.go), sends a few numbers while it does (telemetry.go),
// and leaves trajectory.csv and summary.json (files.go).
//
// It exits with status 0 when the flight was simulated, however the lander fared,
// with 1 when something failed, and with 2 when the configuration makes no sense.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

// The exit statuses.
const (
	exitFailed  = 1
	exitInvalid = 2
)

// reportEvery is the simulated time between two samples and two rows, in seconds.
const reportEvery = 1.0

func main() {
	pace := flag.Duration("pace", 0, "real time that each simulated second takes at least")
	flag.Parse()
	err := simulate(context.Background(), *pace, os.Getenv)
	var invalid *invalidError
	switch {
	case errors.As(err, &invalid):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitInvalid)
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFailed)
	}
}

// simulate is one run, by the environment that getenv gives.
func simulate(ctx context.Context, pace time.Duration, getenv func(string) string) error {
	config, err := readConfig(getenv("TETRYX_RUN_CONFIG"))
	if err != nil {
		return err
	}
	lander, err := config.lander()
	if err != nil {
		return err
	}
	out, err := createTrajectory(getenv("TETRYX_OUTPUT_DIR"))
	if err != nil {
		return err
	}
	defer out.Close()
	telemetry := dial(ctx, getenv("TETRYX_TELEMETRY_TARGET"))
	defer telemetry.close()
	landing := lander.fly(reportEvery, func(at instant) {
		out.row(at)
		telemetry.send(at)
		time.Sleep(pace)
	})
	return out.finish(landing)
}
