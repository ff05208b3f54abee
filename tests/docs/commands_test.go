//go:build engine

package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// place is where something is said, and what.
type place struct {
	file, text string
	line       int
}

var (
	ours    = regexp.MustCompile(`^(?:\w+=\$\()?(?:sudo )?(?:bin/)?(lynxctl|lynx-server|lynx-runner)(?: (.*))?$`)
	word    = regexp.MustCompile(`^[a-z]+$`)
	flag    = regexp.MustCompile(`(?:^|[\s\[|])(--?[a-z][a-z-]*)`)
	targets = regexp.MustCompile("^(?:sudo )?make ([a-z-]+)")
)

// said are the command lines of all documents: the lines of blocks, and what stands
// in prose as code. In a table of commands, what follows the first of a cell are
// commands of the same program.
func said(t *testing.T) []place {
	t.Helper()
	var all []place
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			for i, line := range strings.Split(strings.ReplaceAll(b.text, "\\\n", " "), "\n") {
				line, _, _ = strings.Cut(line, " #")
				all = append(all, place{d.file, strings.TrimSpace(line), b.line + 1 + i})
			}
		}
		for i, line := range d.lines {
			first, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), " | ")
			table := strings.HasPrefix(line, "| `lynxctl ")
			for k, m := range spans.FindAllStringSubmatch(line, -1) {
				text := strings.ReplaceAll(m[1], `\|`, "|")
				if table && k > 0 && strings.Contains(first, m[0]) {
					text = "lynxctl " + text
				}
				all = append(all, place{d.file, text, i + 1})
			}
		}
	}
	return all
}

// TestCommandsExist: each command of ours that a document names exists, with each
// of its flags; each target of make does; and each command of lynxctl is in the
// README's tables.
func TestCommandsExist(t *testing.T) {
	helps := map[string]string{}
	help := func(command ...string) string {
		key := strings.Join(command, " ")
		if helps[key] == "" {
			out, err := exec.CommandContext(t.Context(), filepath.Join(bin, command[0]), append(command[1:], "--help")...).CombinedOutput()
			if err != nil || !regexp.MustCompile(`(?m)^  `+key+`( |$)`).Match(out) {
				out = []byte("none")
			}
			helps[key] = string(out)
		}
		return helps[key]
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, p := range said(t) {
		if m := targets.FindStringSubmatch(p.text); m != nil && !strings.Contains(string(makefile), "\n"+m[1]+":") {
			t.Errorf("%s:%d: there is no target %q", p.file, p.line, m[1])
		}
		m := ours.FindStringSubmatch(p.text)
		if m == nil {
			continue
		}
		command := []string{m[1]}
		if first, _, _ := strings.Cut(m[2], " "); m[1] != "lynx-server" && word.MatchString(first) {
			command = append(command, first)
		}
		text := help(command...)
		if text == "none" {
			t.Errorf("%s:%d: there is no command %q", p.file, p.line, strings.Join(command, " "))
			continue
		}
		checked++
		for _, f := range flag.FindAllStringSubmatch(m[2], -1) {
			if !regexp.MustCompile(`(?m)(^|[\s,])` + f[1] + `[\s,]`).MatchString(text) {
				t.Errorf("%s:%d: %s has no flag %s", p.file, p.line, strings.Join(command, " "), f[1])
			}
		}
	}
	if checked < 60 {
		t.Errorf("found only %d commands", checked)
	}
	commandsAreNamed(t, help("lynxctl"))
	settingsOfServer(t, help("lynx-server"))
}

// commandsAreNamed checks that the README has each command of lynxctl.
func commandsAreNamed(t *testing.T, help string) {
	t.Helper()
	var named []string
	for _, p := range said(t) {
		if m := ours.FindStringSubmatch(p.text); m != nil && p.file == "README.md" {
			first, _, _ := strings.Cut(m[2], " ")
			named = append(named, first)
		}
	}
	_, list, _ := strings.Cut(help, "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for line := range strings.Lines(list) {
		if name := strings.Fields(line)[0]; name != "help" && name != "completion" && !slices.Contains(named, name) {
			t.Errorf("README.md does not name lynxctl %s", name)
		}
	}
}

// settingsOfServer checks that the installed file tells of every flag.
func settingsOfServer(t *testing.T, help string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "configs/lynx-server.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(help, "Flags:\n")
	found := 0
	for _, f := range flag.FindAllStringSubmatch(list, -1) {
		key := strings.ReplaceAll(strings.TrimLeft(f[1], "-"), "-", "_")
		if !strings.HasPrefix(f[1], "--") || slices.Contains([]string{"config", "help", "version"}, key) {
			continue
		}
		found++
		if !regexp.MustCompile(`(?m)^(# )?` + key + `:`).Match(text) {
			t.Errorf("configs/lynx-server.yaml says nothing of %s", key)
		}
	}
	if found < 5 {
		t.Errorf("found only %d flags", found)
	}
}
