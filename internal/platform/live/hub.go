package live

import "context"

// overhead is what an item counts beside its bytes.
const overhead = 128

func (c TelemetryChunk) size() int { return overhead * (1 + len(c.Samples)) }

// Hub brings runners and watchers together. It is safe for concurrent use.
type Hub struct{}

// New makes a hub.
func New() *Hub { return &Hub{} }

// Watch subscribes to an attempt that runs on a runner until ctx ends, the attempt
// ends or the runner's connection does; then the channel is closed. What there
// is from the attempt's beginning comes first. The caller must take from the
// channel or end ctx. ErrNotConnected, ErrTooManyWatchers.
func (h *Hub) Watch(_ context.Context, _, _ string, _ What) (<-chan Item, error) {
	return nil, ErrNotConnected
}
