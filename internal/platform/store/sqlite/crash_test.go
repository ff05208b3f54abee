package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/tetryx/lynx-runner/internal/platform"
)

// childDir is the variable that makes this test binary a process that writes to
// the database in the directory that it names until it is killed.
const childDir = "LYNX_TEST_SQLITE_CHILD"

// writeForever adds batches from four goroutines and prints the id of each that
// was acknowledged.
func writeForever(dir string) {
	s, err := Open(context.Background(), dir)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for w := range 4 {
		go func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("b%d-%d", w, n)
				if err := s.Update(context.Background(), func(tx platform.Tx) error { return addBatch(tx, id, 3, 8) }); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				fmt.Println(id)
			}
		}()
	}
	select {}
}

// TestKilledProcess kills a process that writes. What it acknowledged must be
// there, whole; the lock must be free; the epoch must have been raised.
func TestKilledProcess(t *testing.T) {
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	var acknowledged []string
	for len(acknowledged) < 100 && lines.Scan() {
		if strings.HasPrefix(lines.Text(), "error") {
			t.Fatal(lines.Text())
		}
		acknowledged = append(acknowledged, lines.Text())
	}
	if _, err := Open(t.Context(), dir); err == nil {
		t.Error("opened the database while another process has it open")
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // what it acknowledged before it died
		acknowledged = append(acknowledged, lines.Text())
	}
	_ = child.Wait()

	s := openTest(t, dir)
	if s.Epoch() != 2 {
		t.Errorf("epoch %d; want 2", s.Epoch())
	}
	err = s.View(t.Context(), func(tx platform.ReadTx) error {
		for _, id := range acknowledged {
			if _, err := tx.Batch(id); err != nil {
				return err
			}
			jobs, err := tx.Jobs(platform.JobQuery{JobFilter: platform.JobFilter{BatchID: id}, Limit: 9})
			if err != nil || len(jobs) != 3 {
				return fmt.Errorf("batch %s has %d jobs, %w", id, len(jobs), err)
			}
		}
		return nil
	})
	if err != nil {
		t.Errorf("of %d acknowledged batches: %v", len(acknowledged), err)
	}
}
