package telemetry

import (
	"bytes"
	"encoding/binary"
	"net"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	telemetryv1 "github.com/tetryx/lynx-runner/proto/lynx/telemetry/v1"
)

// rawClient makes the bytes of a gRPC client that doesn't wait for anything, so
// that a test decides where they end. It stays within the flow-control windows.
type rawClient struct {
	tb     testing.TB
	bytes  bytes.Buffer
	framer *http2.Framer
}

func newRawClient(tb testing.TB) *rawClient {
	tb.Helper()
	c := &rawClient{tb: tb}
	c.bytes.WriteString(http2.ClientPreface)
	c.framer = http2.NewFramer(&c.bytes, nil)
	c.must(c.framer.WriteSettings())
	return c
}

func (c *rawClient) must(err error) {
	c.tb.Helper()
	if err != nil {
		c.tb.Fatal(err)
	}
}

// open opens a call.
func (c *rawClient) open(stream uint32, method string) {
	c.tb.Helper()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "http"}, {":path", method}, {":authority", "telemetry"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		c.must(enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
	}
	c.must(c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true}))
}

// message sends a message, in frames of at most size bytes.
func (c *rawClient) message(stream uint32, m proto.Message, size int) {
	c.tb.Helper()
	body, err := proto.Marshal(m)
	c.must(err)
	framed := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
	for len(framed) > 0 {
		n := min(size, len(framed))
		c.must(c.framer.WriteData(stream, false, framed[:n]))
		framed = framed[n:]
	}
}

// sendAndVanish writes everything and closes the connection.
func (c *rawClient) sendAndVanish(socket string) {
	c.tb.Helper()
	conn, err := net.Dial("unix", socket)
	c.must(err)
	_, err = conn.Write(c.bytes.Bytes())
	c.must(err)
	c.must(conn.Close())
}

const (
	streamMethod  = telemetryv1.TelemetryService_Stream_FullMethodName
	publishMethod = telemetryv1.TelemetryService_Publish_FullMethodName
)
