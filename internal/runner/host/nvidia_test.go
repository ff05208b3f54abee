package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// information is the driver's file of one GPU, as it prints it.
func information(uuid string, minor int) string {
	return fmt.Sprintf("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 165\nGPU UUID: \t %s\nVideo BIOS: \t 96.00.74.00.0d\nBus Type: \t PCIe\nDMA Size: \t 52 bits\nDMA Mask: \t 0xfffffffffffff\nBus Location: \t 0000:05:00.0\nDevice Minor: \t %d\nGPU Firmware: \t 535.161.08\nGPU Excluded:\t No\n", uuid, minor)
}

const (
	uuidA = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
	uuidB = "GPU-1b2c3d4e-aaaa-bbbb-cccc-0123456789ab"
)

// driver lays out the driver's directory.
func driver(t *testing.T, byBus map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for bus, text := range byBus {
		if err := os.Mkdir(filepath.Join(dir, bus), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, bus, "information"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// smi is an nvidia-smi that behaves as a script says.
func smi(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "nvidia-smi")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// The driver's numbers of devices are not in the order of the bus; the indices
// that people know are.
func TestGPUsOfTheDriver(t *testing.T) {
	n := NVIDIA{
		Proc: driver(t, map[string]string{"0000:86:00.0": information(uuidB, 0), "0000:05:00.0": information(uuidA, 1)}),
		SMI:  smi(t, "exit 1"),
	}
	got, err := n.GPUs(t.Context())
	want := []GPU{{0, uuidA, "NVIDIA H100 80GB HBM3"}, {1, uuidB, "NVIDIA H100 80GB HBM3"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

// A driver that has not been used yet tells no UUID; nvidia-smi wakes it.
func TestGPUsOfSMI(t *testing.T) {
	list := "printf 'GPU 0: NVIDIA A100-SXM4-40GB (UUID: " + uuidA + ")\\n  MIG 1g.5gb Device 0: (UUID: MIG-3f1a0000-0000-0000-0000-000000000000)\\nGPU 1: Odd (name) (UUID: " + uuidB + ")\\n'"
	want := []GPU{{0, uuidA, "NVIDIA A100-SXM4-40GB"}, {1, uuidB, "Odd (name)"}}
	for name, proc := range map[string]string{
		"asleep":    driver(t, map[string]string{"0000:05:00.0": information("GPU-????????-????-????-????-????????????", 0)}),
		"no driver": filepath.Join(t.TempDir(), "none"),
	} {
		got, err := NVIDIA{Proc: proc, SMI: smi(t, list)}.GPUs(t.Context())
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestGPUsThatCannotBeListed(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for name, tc := range map[string]struct{ script, says string }{
		"failing": {"echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9", "could not communicate"},
		"strange": {"echo 'GPU 0: X (UUID: GPU-all)'", "not known"},
	} {
		if _, err := (NVIDIA{Proc: none, SMI: smi(t, tc.script)}).GPUs(t.Context()); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// One that hangs does not hang the runner.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (NVIDIA{Proc: none, SMI: smi(t, "exec sleep 600")}).GPUs(ctx); err == nil {
		t.Error("no error of an nvidia-smi that hangs")
	}
	// No driver and no tool is no GPU.
	t.Setenv("PATH", t.TempDir())
	if got, err := (NVIDIA{Proc: none}).GPUs(t.Context()); err != nil || len(got) > 0 {
		t.Errorf("%v, %v", got, err)
	}
	asleep := driver(t, map[string]string{"0000:05:00.0": information("GPU-????????-????-????-????-????????????", 0)})
	if _, err := (NVIDIA{Proc: asleep}).GPUs(t.Context()); err == nil || !strings.Contains(err.Error(), "nvidia-smi") {
		t.Errorf("a driver that tells nothing: %v", err)
	}
}

// Whatever nvidia-smi prints: what is taken of it is a GPU by its name.
func FuzzParseSMI(f *testing.F) {
	f.Add("GPU 0: NVIDIA A100-SXM4-40GB (UUID: " + uuidA + ")\n  MIG 1g.5gb Device 0: (UUID: MIG-1)\n")
	f.Add("No devices found.\n")
	f.Add("GPU 99999999999999999999: x (UUID: " + uuidA + ")")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseSMI([]byte(text))
		for _, g := range list {
			if !uuidForm.MatchString(g.UUID) || g.Index < 0 || err != nil {
				t.Errorf("%+v, %v", g, err)
			}
		}
	})
}
