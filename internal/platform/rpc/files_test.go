package rpc_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/tetryx/lynx-runner/internal/platform/auth"
	"github.com/tetryx/lynx-runner/internal/platform/rpc"
	"github.com/tetryx/lynx-runner/internal/platform/store/files"
	"github.com/tetryx/lynx-runner/internal/platform/store/sqlite"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

func digest(data string) string {
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:])
}

// trajectory is the one artifact of reported attempts.
var trajectory = strings.Repeat("0123456789", 30_000)

// reported claims a job and hands in its result.
func (r *runner) reported() *runnerv1.Assignment {
	r.t.Helper()
	a := r.claim(1, 0)[0]
	err := r.result(a, &runnerv1.Result{Outcome: "completed", Artifacts: []*runnerv1.Artifact{
		{Name: "sub/trajectory.csv", Size: int64(len(trajectory)), Sha256: digest(trajectory)},
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func fileOpen(session string, ref *runnerv1.AttemptRef) *runnerv1.PutFilesRequest {
	return &runnerv1.PutFilesRequest{Part: &runnerv1.PutFilesRequest_Open{Open: &runnerv1.PutFilesOpen{SessionId: session, Attempt: ref}}}
}

func fileHeader(path, data string, offset int64) *runnerv1.PutFilesRequest {
	return &runnerv1.PutFilesRequest{Part: &runnerv1.PutFilesRequest_File{File: &runnerv1.FileHeader{
		Path: path, Size: int64(len(data)), Sha256: digest(data), Offset: offset,
	}}}
}

func fileChunk(data string) *runnerv1.PutFilesRequest {
	return &runnerv1.PutFilesRequest{Part: &runnerv1.PutFilesRequest_Chunk{Chunk: []byte(data)}}
}

// put sends messages on one stream and returns the answer.
func (r *runner) put(messages ...*runnerv1.PutFilesRequest) error {
	r.t.Helper()
	stream, err := r.rpc.PutFiles(r.t.Context())
	if err != nil {
		return err
	}
	for _, m := range messages {
		if err := stream.Send(m); err != nil {
			break // the answer says why
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}

func (r *runner) stored(a *runnerv1.Assignment) []*runnerv1.StoredFile {
	r.t.Helper()
	res, err := r.rpc.ListFiles(r.t.Context(), &runnerv1.ListFilesRequest{SessionId: r.session, Attempt: ref(a)})
	if err != nil {
		r.t.Fatal(err)
	}
	return res.GetFiles()
}

// kept is the content of one file, as the platform has it.
func (w *world) kept(t *testing.T, a *runnerv1.Assignment, path string) string {
	t.Helper()
	f, _, err := w.files.Open(t.Context(), files.AttemptKey{
		BatchID: a.GetBatchId(), RunIndex: int(a.GetRunIndex()), Number: int(a.GetAttempt()),
	}, path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestFilesAreHandedIn(t *testing.T) {
	w := start(t, open(t))
	w.submit(t)
	r := w.runner(t)
	a := r.reported()
	if got := r.stored(a); len(got) != 0 {
		t.Errorf("stored %v", got)
	}
	messages := []*runnerv1.PutFilesRequest{
		fileOpen(r.session, ref(a)),
		fileHeader("log/stdout.log", "hello", 0), fileChunk("he"), fileChunk("llo"),
		fileHeader("log/stderr.log", "", 0),
		fileHeader("output/sub/trajectory.csv", trajectory, 0), fileChunk(trajectory[:200_000]), fileChunk(trajectory[200_000:]),
	}
	for range 2 { // again does nothing
		if err := r.put(messages...); err != nil {
			t.Fatal(err)
		}
	}
	got := r.stored(a)
	if len(got) != 3 || got[2].GetPath() != "output/sub/trajectory.csv" || !got[2].GetComplete() || got[2].GetStored() != int64(len(trajectory)) {
		t.Errorf("stored %v", got)
	}
	if w.kept(t, a, "log/stdout.log") != "hello" || w.kept(t, a, "output/sub/trajectory.csv") != trajectory {
		t.Error("other bytes came out than went in")
	}
}

// TestAPlatformThatIsKilledInTheMiddle is started anew over the same data, and the
// runner goes on where it was.
func TestAPlatformThatIsKilledInTheMiddle(t *testing.T) {
	data, kept := t.TempDir(), t.TempDir()
	store, err := sqlite.Open(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	w := startIn(t, store, kept)
	w.submit(t)
	r := w.runner(t)
	a := r.reported()
	stream, err := r.rpc.PutFiles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*runnerv1.PutFilesRequest{
		fileOpen(r.session, ref(a)), fileHeader("manifest.json", "{}", 0), fileChunk("{}"),
		fileHeader("output/sub/trajectory.csv", trajectory, 0), fileChunk(trajectory[:123_456]),
	} {
		if err := stream.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	for len(r.stored(a)) < 2 || r.stored(a)[1].GetStored() == 0 { // until it has arrived
		if t.Context().Err() != nil {
			t.Fatal("the chunk never arrived")
		}
	}
	w.stop()
	if err := stream.RecvMsg(&runnerv1.PutFilesResponse{}); status.Code(err) != codes.Unavailable {
		t.Errorf("the cut stream says %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if store, err = sqlite.Open(t.Context(), data); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	w = startIn(t, store, kept)
	defer w.stop()
	r = w.runner(t)
	got := r.stored(a)
	if len(got) != 2 || !got[0].GetComplete() || got[1].GetComplete() || got[1].GetStored() != 123_456 {
		t.Fatalf("after the restart: %v", got)
	}
	err = r.put(fileOpen(r.session, ref(a)), fileHeader("output/sub/trajectory.csv", trajectory, got[1].GetStored()),
		fileChunk(trajectory[got[1].GetStored():]))
	if err != nil {
		t.Fatal(err)
	}
	if w.kept(t, a, "output/sub/trajectory.csv") != trajectory {
		t.Error("the pieces do not fit together")
	}
}

func TestFilesOfNobody(t *testing.T) {
	w := start(t, open(t))
	w.submit(t)
	r := w.runner(t)
	a, running := r.reported(), r.claim(1, 0)[0]
	stale := proto.CloneOf(ref(a))
	stale.Token.Counter++
	unknown := proto.CloneOf(ref(a))
	unknown.AttemptId = "00000000-0000-0000-0000-000000000000-1"
	// Another runner, with an attempt of the first.
	other := registration()
	other.RunnerId, other.InstallationId = "other", "other"
	session, err := r.rpc.Register(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		session string
		ref     *runnerv1.AttemptRef
		code    codes.Code
		reason  string
	}{
		"another token":        {r.session, stale, codes.FailedPrecondition, runnerv1.ReasonStaleToken},
		"no result":            {r.session, ref(running), codes.FailedPrecondition, runnerv1.ReasonStaleToken},
		"no such attempt":      {r.session, unknown, codes.FailedPrecondition, runnerv1.ReasonStaleToken},
		"of another runner":    {session.GetSessionId(), ref(a), codes.FailedPrecondition, runnerv1.ReasonStaleToken},
		"no such session":      {"x", ref(a), codes.Unauthenticated, runnerv1.ReasonUnknownSession},
		"no session":           {"", ref(a), codes.InvalidArgument, ""},
		"no token":             {r.session, &runnerv1.AttemptRef{AttemptId: a.GetAttemptId()}, codes.InvalidArgument, ""},
		"no name of a attempt": {r.session, &runnerv1.AttemptRef{AttemptId: "../x", Token: a.GetToken()}, codes.InvalidArgument, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.rpc.ListFiles(t.Context(), &runnerv1.ListFilesRequest{SessionId: c.session, Attempt: c.ref})
			refused(t, err, c.code, c.reason)
			refused(t, r.put(fileOpen(c.session, c.ref), fileHeader("manifest.json", "{}", 0), fileChunk("{}")), c.code, c.reason)
		})
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	w := start(t, open(t))
	w.submit(t)
	r := w.runner(t)
	a := r.reported()
	first := fileOpen(r.session, ref(a))
	artifact := "output/sub/trajectory.csv"
	spoilt := fileHeader("manifest.json", "{}", 0)
	spoilt.GetFile().Sha256 = strings.ToUpper(digest("{}"))
	negative := fileHeader("manifest.json", "{}", -1)
	large := fileHeader("log/stdout.log", "x", 0)
	large.GetFile().Size = maxAttempt + 1
	for name, c := range map[string]struct {
		code     codes.Code
		messages []*runnerv1.PutFilesRequest
	}{
		"nothing to begin with":           {codes.InvalidArgument, []*runnerv1.PutFilesRequest{fileHeader("manifest.json", "{}", 0)}},
		"twice opened":                    {codes.InvalidArgument, []*runnerv1.PutFilesRequest{first, first}},
		"an empty message":                {codes.InvalidArgument, []*runnerv1.PutFilesRequest{first, {}}},
		"bytes of nothing":                {codes.InvalidArgument, []*runnerv1.PutFilesRequest{first, fileChunk("x")}},
		"out of the directory":            {codes.InvalidArgument, []*runnerv1.PutFilesRequest{first, fileHeader("output/../../x", "x", 0)}},
		"absolute":                        {codes.InvalidArgument, []*runnerv1.PutFilesRequest{first, fileHeader("/etc/passwd", "x", 0)}},
		"no such log":                     {codes.InvalidArgument, []*runnerv1.PutFilesRequest{first, fileHeader("log/x.log", "x", 0)}},
		"no artifact":                     {codes.InvalidArgument, []*runnerv1.PutFilesRequest{first, fileHeader("output/x", "x", 0)}},
		"an artifact of another size":     {codes.InvalidArgument, []*runnerv1.PutFilesRequest{first, fileHeader(artifact, "x", 0)}},
		"an artifact of other bytes":      {codes.InvalidArgument, []*runnerv1.PutFilesRequest{first, fileHeader(artifact, strings.Repeat("x", len(trajectory)), 0)}},
		"no digest":                       {codes.InvalidArgument, []*runnerv1.PutFilesRequest{first, spoilt}},
		"an offset below 0":               {codes.InvalidArgument, []*runnerv1.PutFilesRequest{first, negative}},
		"an offset beyond the file":       {codes.InvalidArgument, []*runnerv1.PutFilesRequest{first, fileHeader("manifest.json", "{}", 3)}},
		"an offset beyond what is stored": {codes.Aborted, []*runnerv1.PutFilesRequest{first, fileHeader("manifest.json", "{}", 1)}},
		"more bytes than announced":       {codes.InvalidArgument, []*runnerv1.PutFilesRequest{first, fileHeader("manifest.json", "{}", 0), fileChunk("{} ")}},
		"other bytes than announced":      {codes.DataLoss, []*runnerv1.PutFilesRequest{first, fileHeader("manifest.json", "{}", 0), fileChunk("[]")}},
		"a chunk that is too large":       {codes.InvalidArgument, []*runnerv1.PutFilesRequest{first, fileHeader(artifact, trajectory, 0), fileChunk(trajectory)}},
		"more than is kept":               {codes.FailedPrecondition, []*runnerv1.PutFilesRequest{first, large}},
		"a path that is too long":         {codes.InvalidArgument, []*runnerv1.PutFilesRequest{first, fileHeader("output/"+strings.Repeat("x/", 9000)+"x", "x", 0)}},
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, r.put(c.messages...), c.code, "")
		})
	}
	for _, f := range r.stored(a) {
		if f.GetComplete() {
			t.Errorf("complete: %v", f)
		}
	}
}

// TestALaterStreamTakesOver the first, whose connection may be dead.
func TestALaterStreamTakesOver(t *testing.T) {
	w := start(t, open(t))
	w.submit(t)
	r := w.runner(t)
	a := r.reported()
	first, err := r.rpc.PutFiles(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*runnerv1.PutFilesRequest{fileOpen(r.session, ref(a)), fileHeader("manifest.json", "{}", 0), fileChunk("{")} {
		if err := first.Send(m); err != nil {
			t.Fatal(err)
		}
	}
	for len(r.stored(a)) == 0 || r.stored(a)[0].GetStored() == 0 {
		if t.Context().Err() != nil {
			t.Fatal("the chunk never arrived")
		}
	}
	if err := r.put(fileOpen(r.session, ref(a)), fileHeader("manifest.json", "{}", 1), fileChunk("}")); err != nil {
		t.Fatal(err)
	}
	_ = first.Send(fileChunk("}"))
	_, err = first.CloseAndRecv()
	refused(t, err, codes.Aborted, "")
	if got := w.kept(t, a, "manifest.json"); got != "{}" {
		t.Errorf("kept %q", got)
	}
}

// TestAPlatformThatKeepsNothing says so, and shows nothing live.
func TestAPlatformThatKeepsNothing(t *testing.T) {
	w := start(t, open(t))
	socket := filepath.Join(t.TempDir(), "rpc.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := rpc.NewServer(w.svc, rpc.Options{Guard: auth.NewOpenGuard(), Log: slog.New(slog.DiscardHandler)})
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	defer func() {
		srv.Stop()
		<-done
	}()
	other := &world{socket: socket}
	client := other.dial(t)
	res, err := client.Register(t.Context(), registration())
	if err != nil || res.GetKeepFiles() {
		t.Errorf("register: %v, %v", res, err)
	}
	_, err = client.ListFiles(t.Context(), &runnerv1.ListFilesRequest{})
	refused(t, err, codes.Unimplemented, "")
	r := &runner{t: t, rpc: client}
	refused(t, r.put(), codes.Unimplemented, "")
	stream, err := client.Tail(t.Context())
	if err == nil {
		_, err = stream.Recv()
	}
	refused(t, err, codes.Unimplemented, "")
}

// TestFilesNeedTheToken: streams are guarded as calls are.
func TestFilesNeedTheToken(t *testing.T) {
	w := start(t, open(t))
	r := &runner{t: t, rpc: w.dial(t, grpc.WithPerRPCCredentials(auth.Credentials(token+"x")))}
	refused(t, r.put(), codes.Unauthenticated, runnerv1.ReasonBadToken)
	stream, err := r.rpc.Tail(context.WithoutCancel(t.Context()))
	if err == nil {
		_, err = stream.Recv()
	}
	refused(t, err, codes.Unauthenticated, runnerv1.ReasonBadToken)
}
