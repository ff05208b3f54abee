package wire

import (
	"io"
	"log/slog"
	"os"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// IsTerminal reports whether a person watches f.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// NewLog makes a program's log: for people on a terminal, JSON lines elsewhere.
// NO_COLOR, if set, turns colours off.
func NewLog(f *os.File, level slog.Level) *slog.Logger {
	if IsTerminal(f) {
		return textLog(f, level)
	}
	return slog.New(slog.NewJSONHandler(f, &slog.HandlerOptions{Level: level}))
}

func textLog(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(tint.NewTextHandler(w, &tint.Options{Level: level, NoColor: os.Getenv("NO_COLOR") != ""}))
}
