package memory_test

import (
	"testing"

	"github.com/tetryx/lynx-runner/internal/platform"
	"github.com/tetryx/lynx-runner/internal/platform/store/memory"
	"github.com/tetryx/lynx-runner/internal/platform/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) platform.Store { return memory.New() })
}

func TestReopenRaisesEpoch(t *testing.T) {
	s := memory.New()
	first := s.Epoch()
	s.Reopen()
	if s.Epoch() <= first {
		t.Errorf("epoch %d after %d", s.Epoch(), first)
	}
}
