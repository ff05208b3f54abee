package host

import (
	"os"
	"os/exec"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// A child stands for the runner: what a process does to its own threads would stay
// with the test.
func TestPrecede(t *testing.T) {
	if os.Getenv("LYNX_TEST_PRECEDE") != "" {
		preceding(t)
		return
	}
	inverse, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // 20 less the niceness: getpriority(2)
	if err != nil {
		t.Fatal(err)
	}
	for _, nice := range []int{0, 5} {
		c := exec.CommandContext(t.Context(), "nice", "-n", strconv.Itoa(nice-(20-inverse)), os.Args[0], "-test.run=^TestPrecede$")
		c.Env = append(os.Environ(), "LYNX_TEST_PRECEDE="+strconv.Itoa(nice))
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("with niceness %d: %v\n%s", nice, err, out)
		}
	}
}

// preceding looks at every thread after Precede.
func preceding(t *testing.T) {
	want, _ := strconv.Atoi(os.Getenv("LYNX_TEST_PRECEDE"))
	may, err := Precede()
	if err != nil {
		t.Fatal(err)
	}
	if want == 0 && may {
		want = precedence
	}
	if may != (want < 0) || os.Geteuid() == 0 && want == 0 {
		t.Errorf("preceded is %v, with a niceness of %d", may, want)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil || len(threads) < 2 {
		t.Fatal(threads, err)
	}
	for _, thread := range threads {
		id, _ := strconv.Atoi(thread.Name())
		if a, err := unix.SchedGetAttr(id, 0); err != nil || int(a.Nice) != want {
			t.Errorf("thread %d: %+v, %v; want a niceness of %d", id, a, err, want)
		}
	}
}
