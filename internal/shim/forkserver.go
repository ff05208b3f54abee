package shim

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// forkServer is the shim's end of a fork server (lynx_sdk.forkserver): a stream
// socket, descriptor 3 there, over which an order is a byte with two descriptors,
// and an answer a line of JSON.
type forkServer struct {
	pid     int
	channel *os.File
	// answers is closed at the end of the channel, or where it brings garbage.
	answers chan answer
	output  *lastOutput
}

// answer is one line of a fork server's.
type answer struct {
	Ready bool `json:"ready"`
	// PID is the job's main process.
	PID int `json:"pid"`
	// Status is how that ended, as wait(2) has it.
	Status      *int  `json:"status"`
	CPUMicros   int64 `json:"cpu_micros"`
	MaxRSSBytes int64 `json:"max_rss_bytes"`
}

// maxOutput is what is kept of the end of a fork server's own output.
const maxOutput = 4 << 10

// startForkServer starts the command with the channel as descriptor 3. What it
// prints by itself, beside the jobs' own output, is kept for the message on its
// failure alone.
func (s *supervisor) startForkServer(score oomScore) (*forkServer, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("fork server: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "channel")
	defer theirs.Close()
	if err := unix.SetNonblock(pair[0], true); err != nil {
		return nil, fmt.Errorf("fork server: %w", err)
	}
	fs := &forkServer{channel: os.NewFile(uintptr(pair[0]), "channel"), answers: make(chan answer, 4), output: new(lastOutput)}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("fork server: %w", err)
	}
	defer write.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	defer null.Close()
	score.during(func() {
		fs.pid, err = startJob(s.config, s.config.environment(s.config.TelemetryListen), null.Fd(), write.Fd(), write.Fd(), theirs.Fd())
	})
	if err != nil {
		return nil, err
	}
	fs.output.done.Go(func() { _, _ = io.Copy(fs.output, read) })
	go fs.hear()
	return fs, nil
}

// hear takes the server's answers to the end.
func (f *forkServer) hear() {
	defer close(f.answers)
	lines := bufio.NewReaderSize(f.channel, 1<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return
		}
		var a answer
		if json.Unmarshal(line, &a) != nil {
			return
		}
		f.answers <- a
	}
}

// order has the server fork a job with this output.
func (f *forkServer) order(stdout, stderr *os.File) error {
	raw, err := f.channel.SyscallConn()
	if err != nil {
		return fmt.Errorf("fork server: %w", err)
	}
	rights := unix.UnixRights(int(stdout.Fd()), int(stderr.Fd()))
	var sendErr error
	err = raw.Control(func(fd uintptr) { sendErr = unix.Sendmsg(int(fd), []byte{'j'}, rights, nil, unix.MSG_NOSIGNAL) })
	if err := errors.Join(err, sendErr); err != nil {
		return fmt.Errorf("fork server: %w", err)
	}
	return nil
}

// said is the last line that the server printed by itself. It has ended.
func (f *forkServer) said() string {
	f.output.done.Wait()
	text := strings.TrimSpace(string(f.output.text))
	if text == "" {
		return "it printed nothing"
	}
	return strings.ToValidUTF8(text[strings.LastIndexByte(text, '\n')+1:], "?")
}

// lastOutput keeps the end of what is written to it.
type lastOutput struct {
	text []byte
	done sync.WaitGroup
}

// Write implements io.Writer.
func (l *lastOutput) Write(p []byte) (int, error) {
	l.text = append(l.text, p...)
	if over := len(l.text) - maxOutput; over > 0 {
		l.text = append(l.text[:0], l.text[over:]...)
	}
	return len(p), nil
}
