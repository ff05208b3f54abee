package wire

import (
	"io"
	"log/slog"
	"os"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// IsTerminal reports whether a person watches f, on a terminal that can move its
// cursor.
func IsTerminal(f *os.File) bool {
	return os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// Width is the number of columns of the terminal that f is; 0 if it is none.
func Width(f *os.File) int {
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

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
