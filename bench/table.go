package main

import (
	"fmt"
	"io"
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

// printTable prints the lines as a Markdown table.
func printTable(w io.Writer, lines []line) error {
	cells := [][]string{{"What", "Bound", "Lynx", "Peer", "Held"}}
	for _, l := range lines {
		cells = append(cells, []string{l.what, l.bound, l.ours, l.peer, l.held})
	}
	for i, row := range cells {
		if _, err := fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | ")); err != nil {
			return err
		}
		if i == 0 {
			if _, err := fmt.Fprintln(w, strings.Repeat("|---", len(row))+"|"); err != nil {
				return err
			}
		}
	}
	return nil
}
