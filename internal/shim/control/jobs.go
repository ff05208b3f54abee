package control

import "github.com/tetryx/lynx-runner/internal/shim"

// maxNews is how many messages about jobs are kept for a reader: there is one job
// at a time, with two.
const maxNews = 4

// Job tells the shim of a fork server to run the next job. Without a connection it
// returns ErrNotConnected, and nothing is repeated later.
func (s *Server) Job() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.send(shim.MessageJob)
}

// Jobs delivers the shim's MessageJobStarted and MessageJobEnded, in order.
func (s *Server) Jobs() <-chan shim.Message { return s.jobs }

// Lost is closed when a connection of the shim's broke. What it said about jobs
// then may be missing.
func (s *Server) Lost() <-chan struct{} { return s.lost }

// news keeps a message for Jobs. More than there can be are no shim's. s.mu is
// held.
func (s *Server) news(m shim.Message) {
	select {
	case s.jobs <- m:
	default:
		s.lose()
	}
}

// lose closes lost, once. s.mu is held.
func (s *Server) lose() {
	select {
	case <-s.lost:
	default:
		close(s.lost)
	}
}
