package shim

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// tcpTables are the kernel's lists of TCP sockets in this network namespace. A
// socket of IPv6 can hold the client's end of a connection between IPv4 addresses.
var tcpTables = []string{"/proc/net/tcp", "/proc/net/tcp6"}

// ownPeer says whether the client's end of a connection, which is on this host,
// belongs to the shim's own user. Where that can't be told it does not: a client
// that is gone already has nobody who waits for an answer.
func (f *forwarder) ownPeer(conn *net.TCPConn) bool {
	client, ok1 := conn.RemoteAddr().(*net.TCPAddr)
	server, ok2 := conn.LocalAddr().(*net.TCPAddr)
	if !ok1 || !ok2 {
		return false
	}
	for _, path := range tcpTables {
		var uid int
		var found bool
		_ = f.spare.with(func() error {
			table, err := os.Open(path)
			if err != nil {
				return err
			}
			defer table.Close()
			uid, found = socketOwner(table, client.AddrPort(), server.AddrPort())
			return nil
		})
		if found {
			return uid == os.Getuid()
		}
	}
	return false
}

// socketOwner finds the user of the socket with these two addresses in a list of
// the kernel's (proc_net_tcp(5)): the columns are a number, the local and the
// remote address, state, queues, timer, retransmissions and the user.
func socketOwner(table io.Reader, local, remote netip.AddrPort) (uid int, found bool) {
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 8 {
			continue
		}
		l, err1 := socketAddress(fields[1])
		r, err2 := socketAddress(fields[2])
		if err1 != nil || err2 != nil || l != unmapped(local) || r != unmapped(remote) {
			continue
		}
		// The kernel keeps closed connections in the list, without their owner.
		state, err := strconv.ParseUint(fields[3], 16, 8)
		if err != nil || state == tcpTimeWait || state == tcpClose {
			continue
		}
		if uid, err := strconv.Atoi(fields[7]); err == nil {
			return uid, true
		}
	}
	return 0, false
}

// States of a socket that nobody holds any more (net/tcp_states.h).
const (
	tcpTimeWait = unix.BPF_TCP_TIME_WAIT
	tcpClose    = unix.BPF_TCP_CLOSE
)

// socketAddress reads "0100007F:C383": the address in 32-bit words as this machine
// stores them, the port in network order.
func socketAddress(text string) (netip.AddrPort, error) {
	address, port, ok := strings.Cut(text, ":")
	raw, err := hex.DecodeString(address)
	number, portErr := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || portErr != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%q is not a socket's address", text)
	}
	// Both architectures that there are builds for are little-endian.
	for w := 0; w < len(raw); w += 4 {
		raw[w], raw[w+1], raw[w+2], raw[w+3] = raw[w+3], raw[w+2], raw[w+1], raw[w]
	}
	ip, _ := netip.AddrFromSlice(raw)
	return unmapped(netip.AddrPortFrom(ip, uint16(number))), nil
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
