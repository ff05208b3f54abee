package cli

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// screen is a terminal: what is written to tty is drawn, as far as progress bars
// need it.
type screen struct {
	tty, master *os.File

	mu      sync.Mutex
	changed *sync.Cond
	lines   [][]rune
	x, y    int
	width   int
	pending string
	over    bool
}

// openScreen opens a pseudo-terminal with so many columns.
func openScreen(t *testing.T, width int) *screen {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: uint16(width)})
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{tty: tty, master: master, width: width}
	s.changed = sync.NewCond(&s.mu)
	go s.read()
	return s
}

func (s *screen) read() {
	buffer := make([]byte, 4096)
	for {
		n, err := s.master.Read(buffer)
		s.mu.Lock()
		s.pending += string(buffer[:n])
		s.draw()
		s.over = err != nil
		s.changed.Broadcast()
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// draw draws as much of what is pending as is complete.
func (s *screen) draw() {
	for s.pending != "" {
		if rest, ok := strings.CutPrefix(s.pending, "\x1b["); ok {
			end := strings.IndexFunc(rest, func(r rune) bool { return r >= '@' && r <= '~' })
			if end < 0 {
				return
			}
			s.control(rest[:end], rest[end])
			s.pending = rest[end+1:]
			continue
		}
		if s.pending == "\x1b" {
			return
		}
		r := []rune(s.pending)[0]
		s.pending = s.pending[len(string(r)):]
		switch r {
		case '\n':
			s.y++
		case '\r':
			s.x = 0
		default:
			if s.x == s.width {
				s.x, s.y = 0, s.y+1
			}
			s.put(r)
		}
	}
}

func (s *screen) put(r rune) {
	for len(s.lines) <= s.y {
		s.lines = append(s.lines, nil)
	}
	for len(s.lines[s.y]) <= s.x {
		s.lines[s.y] = append(s.lines[s.y], ' ')
	}
	s.lines[s.y][s.x] = r
	s.x++
}

// control obeys one control sequence: cursor up, to a column, erase below, erase
// the line's rest.
func (s *screen) control(args string, what byte) {
	n, _ := strconv.Atoi(args)
	switch what {
	case 'A':
		s.y = max(s.y-max(n, 1), 0)
	case 'G':
		s.x = max(n, 1) - 1
	case 'J', 'K':
		if s.y < len(s.lines) {
			s.lines[s.y] = s.lines[s.y][:min(s.x, len(s.lines[s.y]))]
		}
		if what == 'J' {
			s.lines = s.lines[:min(s.y+1, len(s.lines))]
		}
	}
}

func (s *screen) text() []string {
	var out []string
	for _, line := range s.lines {
		if text := strings.TrimRight(string(line), " "); text != "" {
			out = append(out, text)
		}
	}
	return out
}

// shows waits until the screen shows a text.
func (s *screen) shows(t *testing.T, text string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for !strings.Contains(strings.Join(s.text(), "\n"), text) {
		if s.over {
			t.Fatalf("the screen never showed %q:\n%s", text, strings.Join(s.text(), "\n"))
		}
		s.changed.Wait()
	}
}

// end closes the terminal and returns what is left on the screen. What was written
// last may be lost when a terminal is closed, so a mark of our own is.
func (s *screen) end(t *testing.T) []string {
	t.Helper()
	const mark = "~ end ~"
	if _, err := s.tty.WriteString(mark); err != nil {
		t.Fatal(err)
	}
	s.shows(t, mark)
	if err := s.tty.Close(); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.over {
		s.changed.Wait()
	}
	return slices.DeleteFunc(s.text(), func(line string) bool { return line == mark })
}
