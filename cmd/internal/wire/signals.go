package wire

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Interrupts turns signals into contexts. The first SIGINT, SIGTERM or SIGHUP
// ends gentle: finish in order. The second ends hard: stop now, leaving nothing
// behind. The third ends the program, whatever it leaves. stop gives the signals
// back.
func Interrupts() (gentle, hard context.Context, stop func()) {
	gentle, endGentle := context.WithCancel(context.Background())
	hard, endHard := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 4)
	done := make(chan struct{})
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
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
		close(done)
		endGentle()
		endHard()
	}
}
