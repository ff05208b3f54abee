package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// line is one line of the table.
type line struct {
	what, bound string
	// ours and peer are figures with their spread; peer is empty where there is
	// none.
	ours, peer string
	// held says whether the bound holds: "yes" or "no", with the ratio where the
	// bound is one.
	held string
}

// holds is line.held.
func holds(ok bool, detail string) string {
	text := "no"
	if ok {
		text = "yes"
	}
	if detail != "" {
		text += ", " + detail
	}
	return text
}

// printHead begins a Markdown table.
func printHead(w io.Writer) error {
	_, err := fmt.Fprintf(w, "| What | Bound | Lynx | Peer | Held |\n%s|\n", strings.Repeat("|---", 5))
	return err
}

// printLines goes on with it.
func printLines(w io.Writer, lines []line) error {
	for _, l := range lines {
		if _, err := fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", l.what, l.bound, l.ours, l.peer, l.held); err != nil {
			return err
		}
	}
	return nil
}

// thousands writes a number with commas.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
