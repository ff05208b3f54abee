package wire

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Interrupts turns signals into contexts. The first SIGINT, SIGTERM or SIGHUP
// ends gentle: finish in order. The second ends hard: stop now, leaving nothing
// behind. The third ends the program, whatever it leaves. SIGPIPE does not end it
// at all: writing to a pipe that nobody reads any more is an error of that write,
// not a reason to leave jobs behind. stop gives the signals back.
func Interrupts() (gentle, hard context.Context, stop func()) {
	gentle, endGentle := context.WithCancel(context.Background())
	hard, endHard := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 4)
	done := make(chan struct{})
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	// Not signal.Ignore, which programs that are started from here would inherit.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	go func() {
		for _, end := range []func(){endGentle, endHard, func() { os.Exit(130) }} {
			select {
			case <-signals:
				end()
			case <-done:
				return
			}
		}
	}()
	return gentle, hard, func() {
		signal.Stop(signals)
		signal.Stop(pipe)
		close(done)
		endGentle()
		endHard()
	}
}
