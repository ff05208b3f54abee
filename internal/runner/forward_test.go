package runner

import (
	"io"
	"net"
	"sync"
	"testing"
)

// forward is a port that leads to a unix socket, as the shim's does in a
// container. stop waits until nothing of it is left.
func forward(t *testing.T, socket string) (target string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", socket)
			if err != nil {
				in.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
				wg.Go(func() {
					_, _ = io.Copy(pair[0], pair[1])
					pair[0].Close()
					pair[1].Close()
				})
			}
		}
	})
	return l.Addr().String(), func() { l.Close(); wg.Wait() }
}
