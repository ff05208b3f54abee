package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// protectedScore is the runner's oom_score_adj under root: behind its jobs and the
// host's other services, but not beyond the kernel's reach (-1000), should it ever
// be the one that leaks.
const protectedScore = -500

// Protect makes the kernel take other processes than this one where memory is
// short. Only root may: without the right, nothing is changed, and protected is
// false. What this process starts inherits it.
func Protect() (protected bool, err error) { return protect("/proc/self/oom_score_adj") }

func protect(path string) (bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return false, fmt.Errorf("protection from the kernel when memory is short: %w", err)
	}
	if now, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && now <= protectedScore {
		return true, nil
	}
	err = os.WriteFile(path, []byte(strconv.Itoa(protectedScore)), 0)
	if errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("protection from the kernel when memory is short: %w", err)
	}
	return true, nil
}
