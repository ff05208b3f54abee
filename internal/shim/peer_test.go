package shim

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

// A part of /proc/net/tcp and of tcp6, as Linux 6.18 writes them. The client of
// port 50051 = C383 is port 40000 = 9C40.
const (
	tableV4 = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:C383 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 5501 1 0000 100 0 0 10 0
   1: 0100007F:C383 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1001        0 5502 1 0000 20 4 30 10 -1
   2: 0100007F:9C40 0100007F:C383 01 00000000:00000000 00:00000000 00000000  1002        0 5503 1 0000 20 4 30 10 -1
   3: 0100007F:9C41 0100007F:C383 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0000
   4: 0100007F:9C41 0100007F:C383 01 00000000:00000000 00:00000000 00000000  1003        0 5504 1 0000 20 4 30 10 -1
   5: 0100007F:9C42 0100007F:C383 06 00000000:00000000 03:00000000 00000000     0        0 0 3 0000
`
	tableV6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0000000000000000FFFF00000100007F:9C50 0000000000000000FFFF00000100007F:C383 01 00000000:00000000 00:00000000 00000000  1004        0 5510 1 0000 20 4 30 10 -1
   1: 00000000000000000000000001000000:9C51 00000000000000000000000001000000:C383 01 00000000:00000000 00:00000000 00000000  1005        0 5511 1 0000 20 4 30 10 -1
`
)

func TestSocketOwner(t *testing.T) {
	for _, c := range []struct {
		name, table   string
		local, remote string
		uid           int
		found         bool
	}{
		{"client, not server", tableV4, "127.0.0.1:40000", "127.0.0.1:50051", 1002, true},
		{"mapped addresses", tableV4, "[::ffff:127.0.0.1]:40000", "[::ffff:127.0.0.1]:50051", 1002, true},
		{"not the one that was closed before", tableV4, "127.0.0.1:40001", "127.0.0.1:50051", 1003, true},
		{"closed already", tableV4, "127.0.0.1:40002", "127.0.0.1:50051", 0, false},
		{"nobody", tableV4, "127.0.0.1:1", "127.0.0.1:50051", 0, false},
		{"another server", tableV4, "127.0.0.1:40000", "127.0.0.1:1", 0, false},
		{"a client of IPv6 sockets", tableV6, "127.0.0.1:40016", "127.0.0.1:50051", 1004, true},
		{"IPv6", tableV6, "[::1]:40017", "[::1]:50051", 1005, true},
		{"empty", "", "127.0.0.1:40000", "127.0.0.1:50051", 0, false},
		{"damaged", "x\n 2: 0100007F 0100007F:C383 01 a b c 7\n 2: 0100007F:9C40 0100007F:C383 01 0:0 0:0 0 who\n", "127.0.0.1:40000", "127.0.0.1:50051", 0, false},
	} {
		uid, found := socketOwner(strings.NewReader(c.table), netip.MustParseAddrPort(c.local), netip.MustParseAddrPort(c.remote))
		if uid != c.uid || found != c.found {
			t.Errorf("%s: user %d, %v, want %d, %v", c.name, uid, found, c.uid, c.found)
		}
	}
}

// The kernel's own list is read as it is.
func TestOwnPeer(t *testing.T) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	f := &forwarder{spare: new(reserve)}
	if !f.ownPeer(server) {
		t.Error("this process's own connection is taken for another user's")
	}
	table, err := os.Open("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	local, remote := client.LocalAddr().(*net.TCPAddr), client.RemoteAddr().(*net.TCPAddr)
	if uid, found := socketOwner(table, local.AddrPort(), remote.AddrPort()); !found || uid != os.Getuid() {
		t.Errorf("the connection's owner is %d, %v, want %d", uid, found, os.Getuid())
	}
}

func FuzzSocketOwner(f *testing.F) {
	f.Add(tableV4)
	f.Add(tableV6)
	f.Fuzz(func(t *testing.T, table string) {
		a, b := netip.MustParseAddrPort("127.0.0.1:40000"), netip.MustParseAddrPort("127.0.0.1:50051")
		if uid, found := socketOwner(strings.NewReader(table), a, b); !found && uid != 0 {
			t.Errorf("nobody's user is %d", uid)
		}
	})
}
