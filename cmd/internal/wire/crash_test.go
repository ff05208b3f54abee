package wire

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform/auth"
	"github.com/tetryx/lynx-runner/internal/platform/live"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// crashDir is set in a process that is a platform for a test to kill.
const crashDir = "LYNX_WIRE_TEST_PLATFORM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDir); dir != "" {
		servePlatform(dir)
	}
	os.Exit(m.Run())
}

// servePlatform is a platform with its sockets and data in dir, until it is killed.
func servePlatform(dir string) {
	_ = os.Remove(dir + "/rest")
	_ = os.Remove(dir + "/grpc")
	rest, err := net.Listen("unix", dir+"/rest")
	if err != nil {
		panic(err)
	}
	grpc, err := net.Listen("unix", dir+"/grpc")
	if err != nil {
		panic(err)
	}
	p, err := StartPlatform(context.Background(), PlatformOptions{
		Data: filepath.Join(dir, "data"), KeepFiles: true, REST: rest, GRPC: grpc,
		Guard: auth.NewOpenGuard(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	<-p.Failed()
	os.Exit(1)
}

// killable starts such a process; kill ends it as kill -9 does.
func killable(t *testing.T, dir string) (kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	over := false
	kill = func() {
		if !over {
			over = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait() // it was killed
		}
	}
	t.Cleanup(kill)
	return kill
}

// artifact is what the runner of the test hands in.
var artifact = strings.Repeat("0123456789abcdef", 1<<16)

func artifactDigest() string {
	sum := sha256.Sum256([]byte(artifact))
	return hex.EncodeToString(sum[:])
}

// crashed is the state of the runner of the test.
type crashed struct {
	*testing.T

	rpc     runnerv1.RunnerServiceClient
	session string
	attempt *runnerv1.AttemptRef
}

func (c *crashed) register() {
	c.Helper()
	res, err := c.rpc.Register(c.Context(), &runnerv1.RegisterRequest{
		RunnerId: "r", InstallationId: "i", Executor: "docker",
		Capabilities: &runnerv1.Capabilities{MaxConcurrentJobs: 1, SupportedSimulationTypes: []string{"basilisk"}},
	}, grpc.WaitForReady(true))
	if err != nil {
		c.Fatal(err)
	}
	c.session = res.GetSessionId()
}

// report claims a job and hands in its result.
func (c *crashed) report() {
	c.Helper()
	res, err := c.rpc.ClaimJobs(c.Context(), &runnerv1.ClaimJobsRequest{SessionId: c.session, MaxJobs: 1})
	if err != nil || len(res.GetAssignments()) != 1 {
		c.Fatal(res, err)
	}
	a := res.GetAssignments()[0]
	c.attempt = &runnerv1.AttemptRef{AttemptId: a.GetAttemptId(), Token: a.GetToken()}
	_, err = c.rpc.ReportResult(c.Context(), &runnerv1.ReportResultRequest{SessionId: c.session, Attempt: c.attempt, Result: &runnerv1.Result{
		Outcome: "completed", Artifacts: []*runnerv1.Artifact{{Name: "a.bin", Size: int64(len(artifact)), Sha256: artifactDigest()}},
	}})
	if err != nil {
		c.Fatal(err)
	}
}

// put sends the artifact from an offset on, up to another, and leaves the stream
// open.
func (c *crashed) put(from, upto int) grpc.ClientStreamingClient[runnerv1.PutFilesRequest, runnerv1.PutFilesResponse] {
	c.Helper()
	stream, err := c.rpc.PutFiles(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	messages := []*runnerv1.PutFilesRequest{
		{Part: &runnerv1.PutFilesRequest_Open{Open: &runnerv1.PutFilesOpen{SessionId: c.session, Attempt: c.attempt}}},
		{Part: &runnerv1.PutFilesRequest_File{File: &runnerv1.FileHeader{
			Path: "output/a.bin", Size: int64(len(artifact)), Sha256: artifactDigest(), Offset: int64(from),
		}}},
	}
	for ; from < upto; from += 64 << 10 {
		chunk := []byte(artifact[from:min(from+64<<10, upto)])
		messages = append(messages, &runnerv1.PutFilesRequest{Part: &runnerv1.PutFilesRequest_Chunk{Chunk: chunk}})
	}
	for _, m := range messages {
		if err := stream.Send(m); err != nil {
			c.Fatal(err)
		}
	}
	return stream
}

// stored is what the platform has of the artifact.
func (c *crashed) stored() *runnerv1.StoredFile {
	c.Helper()
	res, err := c.rpc.ListFiles(c.Context(), &runnerv1.ListFilesRequest{SessionId: c.session, Attempt: c.attempt})
	if err != nil {
		c.Fatal(err)
	}
	if len(res.GetFiles()) == 0 {
		return &runnerv1.StoredFile{}
	}
	return res.GetFiles()[0]
}

// TestAPlatformThatIsKilledTakesUpAFileWhereItWas: killed in the middle of a
// file, it is started anew, and the runner sends only the rest.
func TestAPlatformThatIsKilledTakesUpAFileWhereItWas(t *testing.T) {
	dir, err := os.MkdirTemp("", "lx") // short, for sockets
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	kill := killable(t, dir)
	defer kill()
	rest, err := api.NewClient("unix://" + dir + "/rest")
	if err != nil {
		t.Fatal(err)
	}
	defer rest.Close()
	conn, err := Dial("unix://"+dir+"/grpc", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &crashed{T: t, rpc: runnerv1.NewRunnerServiceClient(conn)}
	c.register() // waits until the platform is up
	if _, err := rest.Submit(t.Context(), []byte(study), api.YAML); err != nil {
		t.Fatal(err)
	}
	c.report()
	half := len(artifact) / 2
	stream := c.put(0, half)
	for c.stored().GetStored() < int64(half) {
		time.Sleep(time.Millisecond)
	}
	kill()
	if _, err := stream.CloseAndRecv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the cut stream says %v", err)
	}
	kill = killable(t, dir)
	defer kill()
	c.register()
	got := c.stored()
	if got.GetComplete() || got.GetStored() != int64(half) {
		t.Fatalf("after the restart there is %v; want %d bytes", got, half)
	}
	if _, err := c.put(half, len(artifact)).CloseAndRecv(); err != nil {
		t.Fatal(err)
	}
	if !c.stored().GetComplete() {
		t.Errorf("in the end there is %v", c.stored())
	}
	found, err := filepath.Glob(filepath.Join(dir, "data/files/*/00000/attempt-1/output/a.bin"))
	if err != nil || len(found) != 1 {
		t.Fatalf("kept %v, %v", found, err)
	}
	if data, err := os.ReadFile(found[0]); err != nil || string(data) != artifact {
		t.Errorf("the pieces do not fit together: %d bytes, %v", len(data), err)
	}
}

// TestATailDoesNotHoldUpTheEnd: it is ended in order, not cut.
func TestATailDoesNotHoldUpTheEnd(t *testing.T) {
	leaks(t)
	b := startBench(t)
	c := &crashed{T: t, rpc: b.runners}
	c.register()
	stream, err := b.runners.Tail(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&runnerv1.TailRequest{Part: &runnerv1.TailRequest_Open{Open: &runnerv1.TailOpen{SessionId: c.session}}})
	if err != nil {
		t.Fatal(err)
	}
	for { // until it is open on the other side too
		ctx, cancel := context.WithCancel(t.Context())
		_, err := b.live.Watch(ctx, "r", "a", live.What{Logs: true})
		cancel()
		if err == nil {
			break
		}
	}
	if err := b.Stop(); err != nil {
		t.Error(err)
	}
	for err = error(nil); err == nil; {
		_, err = stream.Recv()
	}
	if !strings.Contains(err.Error(), "open it again") {
		t.Errorf("the stream ended with %v", err)
	}
	if _, err := os.Stat(filepath.Join(b.options.Data, "files")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a platform that keeps no files has a directory for them: %v", err)
	}
}
