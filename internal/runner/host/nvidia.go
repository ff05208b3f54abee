package host

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// smiWithin bounds a call of nvidia-smi, which hangs where a driver does. It takes
// a second or two where no other program keeps the driver awake.
const smiWithin = 20 * time.Second

// NVIDIA finds GPUs by what the driver says in /proc, and by nvidia-smi where that
// says too little. A host without the driver has none.
type NVIDIA struct {
	// Proc is the driver's directory; empty means /proc/driver/nvidia/gpus.
	Proc string
	// SMI is the path of nvidia-smi; empty means the one in PATH.
	SMI string
}

// GPUs implements GPUFinder.
func (n NVIDIA) GPUs(ctx context.Context) ([]GPU, error) {
	found, err := n.fromProc()
	if err == nil {
		return found, nil
	}
	path := n.SMI
	if path == "" {
		var noSMI error
		if path, noSMI = exec.LookPath("nvidia-smi"); noSMI != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil, nil
			}
			return nil, fmt.Errorf("%w; and there is no nvidia-smi in PATH", err)
		}
	}
	return listBySMI(ctx, path)
}

// uuidForm is a UUID as the driver prints it. Before the GPU was first used, it
// prints question marks.
var uuidForm = regexp.MustCompile(`^GPU-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

// fromProc reads the file "information" of each GPU. Their directories are named
// by the bus, in whose order nvidia-smi counts too.
func (n NVIDIA) fromProc() ([]GPU, error) {
	dir := n.Proc
	if dir == "" {
		dir = "/proc/driver/nvidia/gpus"
	}
	entries, err := os.ReadDir(dir) // sorted
	if err != nil {
		return nil, err
	}
	var list []GPU
	for i, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name(), "information"))
		if err != nil {
			return nil, err
		}
		g := GPU{Index: i}
		for line := range strings.Lines(string(text)) {
			switch key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) {
			case "Model":
				g.Model = strings.TrimSpace(value)
			case "GPU UUID":
				g.UUID = strings.TrimSpace(value)
			}
		}
		if !uuidForm.MatchString(g.UUID) {
			return nil, fmt.Errorf("the driver does not tell the UUID of the GPU at %s", e.Name())
		}
		list = append(list, g)
	}
	return list, nil
}

// listBySMI asks nvidia-smi.
func listBySMI(ctx context.Context, path string) ([]GPU, error) {
	ctx, cancel := context.WithTimeout(ctx, smiWithin)
	defer cancel()
	var out, complaint bytes.Buffer
	c := exec.CommandContext(ctx, path, "-L")
	c.Stdout, c.Stderr, c.WaitDelay = &out, &complaint, time.Second
	if err := c.Run(); err != nil {
		// It complains on standard output.
		said, _, _ := strings.Cut(strings.TrimSpace(out.String()+complaint.String()), "\n")
		return nil, fmt.Errorf("%s -L: %w: %s", path, errors.Join(ctx.Err(), err), said)
	}
	return parseSMI(out.Bytes())
}

// smiLine is "GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-8932f937-…)". The lines of
// MIG devices are indented and not meant: such a GPU is given as a whole.
var smiLine = regexp.MustCompile(`^GPU ([0-9]+): (.*) \(UUID: (\S+)\)$`)

func parseSMI(text []byte) ([]GPU, error) {
	var list []GPU
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		m := smiLine.FindStringSubmatch(strings.TrimRight(lines.Text(), "\r "))
		if m == nil {
			continue
		}
		index, err := strconv.Atoi(m[1])
		if err != nil || !uuidForm.MatchString(m[3]) {
			return nil, fmt.Errorf("nvidia-smi lists a GPU in a way that is not known: %q", lines.Text())
		}
		list = append(list, GPU{Index: index, UUID: m[3], Model: m[2]})
	}
	return list, lines.Err()
}
