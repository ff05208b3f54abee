package runner

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// scriptedFiles is what the scripted platform keeps of files, under the
// platform's lock.
type scriptedFiles struct {
	most int64
	// attempts has the files by attempt and path.
	attempts map[string]map[string]*scriptedFile
	// cut, if set, says after how many bytes to cut a stream, which begins.
	cut func() int
	// answer, if set, decides how a header is answered.
	answer func(h *runnerv1.FileHeader) error
	// hold, if set, keeps a stream from being read until it is closed.
	hold chan struct{}
	// headers are all that came; received counts all bytes.
	headers  []*runnerv1.FileHeader
	received int
	streams  int
	lists    int
}

type scriptedFile struct {
	data     []byte
	complete bool
}

func keepFiles(b *bench) *scriptedFiles {
	b.pace.stall = patience
	b.platform.files = &scriptedFiles{attempts: map[string]map[string]*scriptedFile{}}
	return b.platform.files
}

// whole are the names of the complete files of an attempt.
func (f *scriptedFiles) whole(attempt string) (names []string) {
	for name, file := range f.attempts[attempt] {
		if file.complete {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// mayPut is the answer to a call about an attempt's files.
func (p *scriptedPlatform) mayPut(method, session string, ref *runnerv1.AttemptRef) error {
	err := cmp.Or(p.refuse(method, session), p.stale(ref))
	switch {
	case err != nil:
		return err
	case p.files == nil:
		return status.Error(codes.Unimplemented, "no files are kept")
	case p.results[ref.GetAttemptId()] == nil:
		return status.Error(codes.FailedPrecondition, "files before the result")
	}
	return nil
}

func (p *scriptedPlatform) ListFiles(_ context.Context, in *runnerv1.ListFilesRequest) (out *runnerv1.ListFilesResponse, err error) {
	p.change(func() {
		if err = p.mayPut("ListFiles", in.GetSessionId(), in.GetAttempt()); err != nil {
			return
		}
		p.files.lists++
		out = &runnerv1.ListFilesResponse{}
		files := p.files.attempts[in.GetAttempt().GetAttemptId()]
		for _, name := range slices.Sorted(maps.Keys(files)) {
			out.Files = append(out.Files, &runnerv1.StoredFile{Path: name, Stored: int64(len(files[name].data)), Complete: files[name].complete})
		}
	})
	return out, err
}

func (p *scriptedPlatform) PutFiles(stream runnerv1.RunnerService_PutFilesServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	put := &scriptedPut{left: -1}
	var hold chan struct{}
	p.change(func() {
		err = p.mayPut("PutFiles", first.GetOpen().GetSessionId(), first.GetOpen().GetAttempt())
		if err != nil {
			return
		}
		p.files.streams++
		hold = p.files.hold
		id := first.GetOpen().GetAttempt().GetAttemptId()
		if put.files = p.files.attempts[id]; put.files == nil {
			put.files = map[string]*scriptedFile{}
			p.files.attempts[id] = put.files
		}
		if p.files.cut != nil {
			put.left = p.files.cut()
		}
	})
	for err == nil {
		if hold != nil {
			select {
			case <-hold:
			case <-stream.Context().Done():
				return stream.Context().Err()
			}
		}
		var in *runnerv1.PutFilesRequest
		in, err = stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && put.missing() > 0:
			return status.Error(codes.InvalidArgument, "the stream ends within a file")
		case errors.Is(err, io.EOF):
			return stream.SendAndClose(&runnerv1.PutFilesResponse{})
		case err == nil:
			p.change(func() { err = put.take(p.files, in) })
		}
	}
	return err
}

// scriptedPut is one stream.
type scriptedPut struct {
	files  map[string]*scriptedFile
	header *runnerv1.FileHeader
	file   *scriptedFile
	left   int // bytes until the cut; negative for none
}

func (s *scriptedPut) missing() int {
	if s.file == nil || s.file.complete {
		return 0
	}
	return int(s.header.GetSize()) - len(s.file.data)
}

func (s *scriptedPut) take(f *scriptedFiles, in *runnerv1.PutFilesRequest) error {
	if h := in.GetFile(); h != nil {
		return s.begin(f, h)
	}
	chunk := in.GetChunk()
	if s.file == nil || len(chunk) == 0 || len(chunk) > 256<<10 || len(chunk) > s.missing() {
		return status.Error(codes.InvalidArgument, "a chunk of a wrong size")
	}
	cut := s.left >= 0 && len(chunk) >= s.left
	if cut {
		chunk = chunk[:s.left]
	}
	s.left -= len(chunk)
	f.received += len(chunk)
	s.file.data = append(s.file.data, chunk...)
	if cut {
		return status.Error(codes.Unavailable, "cut")
	}
	return s.check()
}

func (s *scriptedPut) begin(f *scriptedFiles, h *runnerv1.FileHeader) error {
	if s.missing() > 0 {
		return status.Error(codes.InvalidArgument, "a header within a file")
	}
	f.headers = append(f.headers, h)
	if f.answer != nil {
		if err := f.answer(h); err != nil {
			return err
		}
	}
	if s.header, s.file = h, s.files[h.GetPath()]; s.file == nil {
		s.file = &scriptedFile{}
		s.files[h.GetPath()] = s.file
	}
	if s.file.complete {
		return status.Error(codes.InvalidArgument, "sent again: "+h.GetPath())
	}
	if h.GetOffset() > int64(len(s.file.data)) {
		return status.Error(codes.Aborted, "a hole")
	}
	s.file.data = s.file.data[:h.GetOffset()]
	return s.check()
}

// check completes or discards a file that has all its bytes.
func (s *scriptedPut) check() error {
	if s.missing() > 0 {
		return nil
	}
	sum := sha256.Sum256(s.file.data)
	if hex.EncodeToString(sum[:]) != strings.ToLower(s.header.GetSha256()) {
		delete(s.files, s.header.GetPath())
		return status.Error(codes.DataLoss, "not what was announced")
	}
	s.file.complete = true
	return nil
}
