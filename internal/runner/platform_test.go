package runner

import (
	"cmp"
	"context"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

// patience is how long a test waits for something that must happen.
const patience = 30 * time.Second

// scriptedPlatform is the far end: a real gRPC server whose answers a test
// decides.
type scriptedPlatform struct {
	runnerv1.UnimplementedRunnerServiceServer
	t      *testing.T
	socket string
	server *grpc.Server
	listen net.Listener

	mu         sync.Mutex
	changed    chan struct{}
	queue      []*runnerv1.Assignment
	sessions   []string
	registers  []*runnerv1.RegisterRequest
	heartbeats []*runnerv1.HeartbeatRequest
	claims     []*runnerv1.ClaimJobsRequest
	started    []string
	results    map[string]*runnerv1.Result
	given      []string       // attempts, in the order of the claims
	accepted   map[string]int // results that were taken, by attempt
	claimed    int            // claims that were answered with jobs
	asked      int            // claims that arrived
	cancel     map[string]bool
	lost       map[string]bool
	drained    bool
	draining   bool // what the runner's last heartbeat said
	leaves     []*runnerv1.LeaveRequest
	// lastMoment is given out at the moment of a draining heartbeat.
	lastMoment []*runnerv1.Assignment
	// fail, if set, answers a method in the platform's place with an error.
	fail func(method string) error
	// failFor answers the result of an attempt with an error; refusals counts, and
	// refused, if set, hears of each.
	failFor  map[string]error
	refusals int
	refused  func()
	// impatient is a platform that does not wait for work.
	impatient bool
	interval  time.Duration // of heartbeats
	// deaf is a platform that does not answer a claim because of a drain.
	deaf bool
	// files is what a platform keeps of the attempts' files; nil keeps none.
	files *scriptedFiles
	// tails are the open streams for live output.
	tails []*scriptedTail
}

func newPlatform(t *testing.T) *scriptedPlatform {
	p := &scriptedPlatform{
		t: t, socket: filepath.Join(t.TempDir(), "p.sock"), changed: make(chan struct{}), interval: 20 * time.Millisecond,
		results: map[string]*runnerv1.Result{}, accepted: map[string]int{}, cancel: map[string]bool{}, lost: map[string]bool{},
	}
	p.up()
	t.Cleanup(func() { p.server.Stop() })
	return p
}

// up serves; down ends that, with every connection.
func (p *scriptedPlatform) up() {
	l, err := net.Listen("unix", p.socket)
	if err != nil {
		p.t.Fatal(err)
	}
	p.server = grpc.NewServer(grpc.WaitForHandlers(true))
	runnerv1.RegisterRunnerServiceServer(p.server, p)
	p.listen = l
	go p.server.Serve(l)
}

// The listener is closed here too: Serve may not even have begun.
func (p *scriptedPlatform) down() { p.server.Stop(); p.listen.Close() }

// restart ends every call that is under way, so that a test may look at what
// they did without the lock.
func (p *scriptedPlatform) restart() { p.down(); p.up() }

// client connects as a runner would, with quick reconnections.
func (p *scriptedPlatform) client() runnerv1.RunnerServiceClient {
	conn, err := grpc.NewClient("unix://"+p.socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	return runnerv1.NewRunnerServiceClient(conn)
}

// change alters the script and wakes whoever waits for it.
func (p *scriptedPlatform) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *scriptedPlatform) submit(list ...*runnerv1.Assignment) {
	p.change(func() { p.queue = append(p.queue, list...) })
}

// await waits until cond, which runs under the lock, holds.
func (p *scriptedPlatform) await(what string, cond func() bool) {
	p.t.Helper()
	deadline := time.After(patience)
	look := func() (bool, <-chan struct{}) {
		p.mu.Lock()
		// A condition that panics must not leave the platform's calls waiting.
		defer p.mu.Unlock()
		return cond(), p.changed
	}
	for {
		ok, changed := look()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			p.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// result waits for an attempt's result.
func (p *scriptedPlatform) result(id string) *runnerv1.Result {
	p.t.Helper()
	p.await("the result of "+id, func() bool { return p.results[id] != nil })
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.results[id]
}

// stale is the answer to a report on an attempt that is no longer the runner's.
func (p *scriptedPlatform) stale(ref *runnerv1.AttemptRef) error {
	if p.lost[ref.GetAttemptId()] {
		return runnerv1.NewError(codes.FailedPrecondition, runnerv1.ReasonStaleToken, "stale")
	}
	return nil
}

// refuse is the answer to a call: the script's, or that the session is unknown.
func (p *scriptedPlatform) refuse(method, session string) error {
	if p.fail != nil {
		if err := p.fail(method); err != nil {
			return err
		}
	}
	if method != "Register" && (len(p.sessions) == 0 || p.sessions[len(p.sessions)-1] != session) {
		return runnerv1.NewError(codes.Unauthenticated, runnerv1.ReasonUnknownSession, "no such session")
	}
	return nil
}

func (p *scriptedPlatform) Register(_ context.Context, in *runnerv1.RegisterRequest) (out *runnerv1.RegisterResponse, err error) {
	p.change(func() {
		if err = p.refuse("Register", ""); err != nil {
			return
		}
		p.registers = append(p.registers, in)
		p.draining = false
		p.sessions = append(p.sessions, "session-"+strconv.Itoa(len(p.registers)))
		out = &runnerv1.RegisterResponse{SessionId: p.sessions[len(p.sessions)-1], HeartbeatInterval: durationpb.New(p.interval)}
		if p.files != nil {
			out.KeepFiles, out.MaxAttemptBytes = true, p.files.most
		}
	})
	return out, err
}

func (p *scriptedPlatform) ClaimJobs(ctx context.Context, in *runnerv1.ClaimJobsRequest) (*runnerv1.ClaimJobsResponse, error) {
	p.change(func() { p.asked++; p.claims = append(p.claims, in) })
	timeout := time.After(in.GetWait().AsDuration())
	for {
		p.mu.Lock()
		if err := p.refuse("ClaimJobs", in.GetSessionId()); err != nil {
			p.mu.Unlock()
			return nil, err
		}
		changed := p.changed
		queue, over := &p.queue, p.impatient
		if p.draining {
			queue, over = &p.lastMoment, !p.deaf
		}
		n := min(len(*queue), int(in.GetMaxJobs()))
		got := (*queue)[:n:n]
		*queue = (*queue)[n:]
		if n > 0 {
			p.claimed++
		}
		for _, a := range got {
			p.given = append(p.given, a.GetAttemptId())
		}
		p.mu.Unlock()
		if n > 0 || over {
			return &runnerv1.ClaimJobsResponse{Assignments: got}, nil
		}
		select {
		case <-changed:
		case <-timeout:
			return &runnerv1.ClaimJobsResponse{}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (p *scriptedPlatform) Heartbeat(_ context.Context, in *runnerv1.HeartbeatRequest) (out *runnerv1.HeartbeatResponse, err error) {
	p.change(func() {
		if err = p.refuse("Heartbeat", in.GetSessionId()); err != nil {
			return
		}
		p.heartbeats = append(p.heartbeats, in)
		p.draining = in.GetDraining()
		out = &runnerv1.HeartbeatResponse{
			Drain: p.drained, Cancel: listed(p.cancel), Lost: listed(p.lost),
		}
	})
	return out, err
}

func (p *scriptedPlatform) Leave(_ context.Context, in *runnerv1.LeaveRequest) (*runnerv1.LeaveResponse, error) {
	var err error
	p.change(func() {
		if err = p.refuse("Leave", in.GetSessionId()); err == nil {
			p.leaves = append(p.leaves, in)
		}
	})
	return &runnerv1.LeaveResponse{}, err
}

// listed is what is true in a set.
func listed(set map[string]bool) []string {
	set = maps.Clone(set)
	maps.DeleteFunc(set, func(_ string, in bool) bool { return !in })
	return slices.Sorted(maps.Keys(set))
}

func (p *scriptedPlatform) ReportStarted(_ context.Context, in *runnerv1.ReportStartedRequest) (*runnerv1.ReportStartedResponse, error) {
	var err error
	p.change(func() {
		err = cmp.Or(p.refuse("ReportStarted", in.GetSessionId()), p.stale(in.GetAttempt()))
		if err == nil {
			p.started = append(p.started, in.GetAttempt().GetAttemptId())
		}
	})
	return &runnerv1.ReportStartedResponse{}, err
}

func (p *scriptedPlatform) ReportResult(_ context.Context, in *runnerv1.ReportResultRequest) (*runnerv1.ReportResultResponse, error) {
	var err error
	p.change(func() {
		if err = cmp.Or(p.refuse("ReportResult", in.GetSessionId()), p.stale(in.GetAttempt())); err != nil {
			return
		}
		if err = p.failFor[in.GetAttempt().GetAttemptId()]; err != nil {
			p.refusals++
			if p.refused != nil {
				p.refused()
			}
		} else {
			p.results[in.GetAttempt().GetAttemptId()] = in.GetResult()
			p.accepted[in.GetAttempt().GetAttemptId()]++
		}
	})
	return &runnerv1.ReportResultResponse{}, err
}
