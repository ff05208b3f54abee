package rpc

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tetryx/lynx-runner/internal/platform/store/files"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// maxChunk is the most bytes of a file in one message.
const maxChunk = 256 << 10

// errNoFiles is told to a runner that sends files although it was told not to.
var errNoFiles = status.Error(codes.Unimplemented, "this platform keeps no files of attempts (keep_files)")

// handIn is what may be handed in of one attempt.
type handIn struct {
	key       files.AttemptKey
	artifacts map[string]*runnerv1.Artifact // by path
}

// handIn finds out what an attempt may have.
func (s *Server) handIn(ctx context.Context, sessionID string, ref *runnerv1.AttemptRef) (*handIn, error) {
	if err := checkSession(sessionID); err != nil {
		return nil, err
	}
	if err := checkAttempt("attempt", ref); err != nil {
		return nil, err
	}
	res, err := s.svc.Reported(ctx, sessionID, attemptRef(ref))
	if err != nil {
		return nil, err
	}
	h := &handIn{
		key:       files.AttemptKey{BatchID: res.BatchID, RunIndex: res.RunIndex, Number: res.Attempt.Number},
		artifacts: map[string]*runnerv1.Artifact{},
	}
	for _, a := range res.Result.GetArtifacts() {
		h.artifacts[files.Output+a.GetName()] = a
	}
	return h, nil
}

// header checks a file's announcement: artifacts are as the result says, and other
// files are one of those that every attempt may have.
func (h *handIn) header(m *runnerv1.FileHeader) (files.Header, error) {
	head := files.Header{Path: m.GetPath(), Size: m.GetSize(), SHA256: m.GetSha256(), Offset: m.GetOffset()}
	if err := checkText("file.path", head.Path, maxPath+len(files.Output)); err != nil {
		return head, err
	}
	if err := files.CheckPath(head.Path); err != nil {
		return head, err
	}
	if !sha256Hex.MatchString(head.SHA256) {
		return head, bad("file.sha256", "%.*q is not 64 lower-case hexadecimal digits", maxShown, head.SHA256)
	}
	if head.Size < 0 || head.Offset < 0 || head.Offset > head.Size {
		return head, bad("file.offset", "%d of %d bytes", head.Offset, head.Size)
	}
	if len(head.Path) < len(files.Output) || head.Path[:len(files.Output)] != files.Output {
		return head, nil
	}
	switch a := h.artifacts[head.Path]; {
	case a == nil:
		return head, bad("file.path", "%.*q is no artifact of the attempt's result", maxShown, head.Path)
	case a.GetSize() != head.Size || a.GetSha256() != head.SHA256:
		return head, bad("file", "%.*q is not what the result says: %d bytes with SHA-256 %s", maxShown, head.Path, a.GetSize(), a.GetSha256())
	}
	return head, nil
}

// ListFiles implements runnerv1.RunnerServiceServer.
func (s *Server) ListFiles(ctx context.Context, m *runnerv1.ListFilesRequest) (*runnerv1.ListFilesResponse, error) {
	if s.opts.Files == nil {
		return nil, errNoFiles
	}
	h, err := s.handIn(ctx, m.GetSessionId(), m.GetAttempt())
	if err != nil {
		return nil, s.status(ctx, err)
	}
	list, err := s.opts.Files.List(ctx, h.key)
	if err != nil {
		return nil, s.status(ctx, err)
	}
	res := &runnerv1.ListFilesResponse{}
	for _, f := range list {
		res.Files = append(res.Files, &runnerv1.StoredFile{Path: f.Path, Stored: f.Size, Complete: f.Complete})
	}
	return res, nil
}

// PutFiles implements runnerv1.RunnerServiceServer. Of several streams of one
// attempt the latest counts.
func (s *Server) PutFiles(stream grpc.ClientStreamingServer[runnerv1.PutFilesRequest, runnerv1.PutFilesResponse]) error {
	if s.opts.Files == nil {
		return errNoFiles
	}
	ctx := stream.Context()
	m, err := stream.Recv()
	if err != nil {
		return err
	}
	if m.GetOpen() == nil {
		return s.status(ctx, bad("open", "must be the first message"))
	}
	h, err := s.handIn(ctx, m.GetOpen().GetSessionId(), m.GetOpen().GetAttempt())
	if err != nil {
		return s.status(ctx, err)
	}
	u, err := s.opts.Files.Begin(ctx, h.key)
	if err != nil {
		return s.status(ctx, err)
	}
	err = receiveFiles(stream, h, u)
	if closed := u.Close(); err == nil { // also what came before a cut is to stay
		err = closed
	}
	if err != nil {
		return s.status(ctx, err)
	}
	return stream.SendAndClose(&runnerv1.PutFilesResponse{})
}

// receiveFiles takes the rest of a stream.
func receiveFiles(stream grpc.ClientStreamingServer[runnerv1.PutFilesRequest, runnerv1.PutFilesResponse], h *handIn, u *files.Upload) error {
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return cut{err}
		}
		switch part := m.GetPart().(type) {
		case *runnerv1.PutFilesRequest_File:
			head, err := h.header(part.File)
			if err != nil {
				return err
			}
			if err := u.Next(head); err != nil {
				return err
			}
		case *runnerv1.PutFilesRequest_Chunk:
			if n := len(part.Chunk); n > maxChunk {
				return bad("chunk", "%d bytes; at most %d", n, maxChunk)
			}
			if err := u.Write(part.Chunk); err != nil {
				return err
			}
		default:
			return bad("part", "%T; only file and chunk may follow open", part)
		}
	}
}

// cut is a stream that broke, which is nobody's fault here.
type cut struct{ error }

func (c cut) Unwrap() error { return c.error }
