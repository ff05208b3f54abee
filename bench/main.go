// Command bench measures what Lynx promises in figures, and prints a table.
//
// Each row starts a platform and a runner as a user would, as processes of their
// own, and lets them work through the Docker engine of this host. Where there is
// something to compare with, that runs in turn with them, pair by pair, so that
// whatever else the host does hits both; the figure is then the median of the
// ratios. README.md says what each row is made of.
//
//	go run ./bench                        # all rows
//	go run ./bench -rows slot,breach -reps 3
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options scale the rows.
type options struct {
	// reps is the number of pairs, or of repetitions.
	reps int
	// jobs is the number of jobs in each.
	jobs int
	// samples is the number of telemetry samples in each.
	samples int
	// idle is how long nothing is done.
	idle time.Duration
	// slots are the numbers of jobs at a time.
	slots []int
	// many is a number of jobs that are really run, large the size of a batch of
	// which only a few are.
	many, large int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// quickly is what -quick sets the flags to that are not given.
var quickly = map[string]string{"reps": "3", "jobs": "6", "samples": "40000", "idle": "5s", "many": "1000", "large": "10000"}

// parse reads the arguments: the options, the rows and the directory of the sources.
func parse(args []string) (o options, chosen []row, root string, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	names := flags.String("rows", "", "the rows to measure, separated by commas (default all): "+rowNames())
	flags.StringVar(&root, "root", ".", "directory of the sources")
	flags.IntVar(&o.reps, "reps", 7, "pairs, or repetitions, of each row")
	flags.IntVar(&o.jobs, "jobs", 12, "jobs in each of them")
	flags.IntVar(&o.samples, "samples", 200_000, "telemetry samples in each of them")
	flags.DurationVar(&o.idle, "idle", 20*time.Second, "how long to watch an idle runner")
	flags.IntVar(&o.many, "many", 10_000, "empty jobs until the last look at memory")
	flags.IntVar(&o.large, "large", 100_000, "runs of a large batch")
	slots := flags.String("slots", "1,2,4", "numbers of jobs at a time, separated by commas")
	quick := flags.Bool("quick", false, fmt.Sprintf("little of each, by other defaults: %v", quickly))
	if err := flags.Parse(args); err != nil {
		return o, nil, "", err
	}
	if *quick {
		given := map[string]bool{}
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		for name, value := range quickly {
			if !given[name] {
				err = errors.Join(err, flags.Set(name, value))
			}
		}
	}
	for text := range strings.SplitSeq(*slots, ",") {
		n, numberErr := strconv.Atoi(text)
		if numberErr != nil || n < 1 {
			return o, nil, "", fmt.Errorf("-slots: %q is no number of slots", text)
		}
		o.slots = append(o.slots, n)
	}
	if o.reps < 1 || o.jobs < 2 || o.samples < 1 || o.many < 1 || o.large < 1 {
		return o, nil, "", errors.New("-reps, -samples, -many and -large must be at least 1, -jobs at least 2")
	}
	chosen, rowsErr := choose(*names)
	return o, chosen, root, errors.Join(err, rowsErr)
}

// run measures the rows that the arguments choose, and prints the table.
func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	o, chosen, root, err := parse(args)
	if err != nil {
		return err
	}
	w, err := newWorld(ctx, root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	fmt.Fprintf(stdout, "%d CPUs, %s, %s; medians of %d, with quartiles, or extremes of fewer than eight\n\n",
		runtime.NumCPU(), engineVersion(ctx), runtime.Version(), o.reps)
	if err := printHead(stdout); err != nil {
		return err
	}
	for _, r := range chosen {
		fmt.Fprintf(os.Stderr, "%s: %s\n", r.name, r.what)
		began := time.Now()
		lines, err := r.measure(ctx, w, o)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: took %.1f s\n", r.name, time.Since(began).Seconds())
		if len(lines) == 0 {
			return fmt.Errorf("%s: it measured nothing", r.name)
		}
		if err := printLines(stdout, lines); err != nil {
			return err
		}
	}
	return nil
}
