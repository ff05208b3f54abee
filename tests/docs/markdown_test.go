package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// block is a fenced block of a document: its language, "" where it names none.
type block struct {
	file, language, text string
	line                 int
}

// document is one Markdown file, taken apart.
type document struct {
	file   string
	lines  []string // of prose: those of blocks are empty
	blocks []block
}

// documents reads everything that is written for users.
func documents(t *testing.T) []document {
	t.Helper()
	var all []document
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md", "*/README.md", "*/*/README.md"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasPrefix(file, root+"/lynx-output") {
				continue
			}
			all = append(all, read(t, strings.TrimPrefix(file, root+"/")))
		}
	}
	return all
}

func read(t *testing.T, file string) document {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	d := document{file: file}
	var open *block
	for i, line := range strings.Split(string(text), "\n") {
		language, fence := strings.CutPrefix(line, "```")
		prose := ""
		switch {
		case fence && open == nil:
			open = &block{file: file, language: language, line: i + 1}
		case fence:
			d.blocks = append(d.blocks, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		default:
			prose = line
		}
		d.lines = append(d.lines, prose)
	}
	if open != nil {
		t.Errorf("%s:%d: the block has no end", file, open.line)
	}
	return d
}

// blocks are a document's blocks of one language.
func blocks(t *testing.T, file, language string) []block {
	t.Helper()
	found := slices.DeleteFunc(read(t, file).blocks, func(b block) bool { return b.language != language })
	if len(found) == 0 {
		t.Fatalf("%s has no block of %q", file, language)
	}
	return found
}

var (
	links  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	spans  = regexp.MustCompile("`([^`]+)`")
	noWord = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// TestLinks: each link within the repository has a file at its end, and the
// heading that it names.
func TestLinks(t *testing.T) {
	for _, d := range documents(t) {
		for i, line := range d.lines {
			for _, m := range links.FindAllStringSubmatch(line, -1) {
				target, anchor, _ := strings.Cut(m[1], "#")
				if strings.Contains(target, "://") {
					continue
				}
				path := d.file
				if target != "" {
					path = filepath.Join(filepath.Dir(d.file), target)
				}
				if _, err := os.Stat(filepath.Join(root, path)); err != nil {
					t.Errorf("%s:%d: the link %s leads nowhere", d.file, i+1, m[1])
				} else if anchor != "" && !slices.Contains(headings(read(t, path)), anchor) {
					t.Errorf("%s:%d: %s has no heading #%s", d.file, i+1, path, anchor)
				}
			}
		}
	}
}

// headings are the anchors of a document, as web sites make them.
func headings(d document) []string {
	var all []string
	for _, line := range d.lines {
		if text := strings.TrimLeft(line, "#"); text != line {
			text = noWord.ReplaceAllString(strings.ToLower(strings.TrimSpace(text)), "")
			all = append(all, strings.ReplaceAll(text, " ", "-"))
		}
	}
	return all
}
