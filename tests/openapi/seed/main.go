// Command seed gives a platform something to answer with: a batch of three jobs,
// of which it, as a runner, completes one, with files if the platform keeps them,
// and begins another. It prints the ids as "NAME=ID" lines for a shell.
//
//	seed REST_ADDRESS GRPC_ADDRESS TOKEN_FILE
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/tetryx/lynx-runner/api"
	"github.com/tetryx/lynx-runner/internal/platform/auth"
	runnerv1 "github.com/tetryx/lynx-runner/proto/lynx/runner/v1"
)

const study = `
name: openapi
config:
  simulation: {name: orbit, version: 1.2.0}
  monte_carlo: {runs: 3, seed: 42}
  dispersions: {mass_kg: {distribution: {type: uniform, min: 1, max: 2}, units: kg}}
`

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: seed REST_ADDRESS GRPC_ADDRESS TOKEN_FILE")
		os.Exit(2)
	}
	if err := seed(ctx, os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		os.Exit(1)
	}
}

func seed(ctx context.Context, rest, rpc, tokenFile string) error {
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		return err
	}
	secret := strings.TrimSpace(string(token))
	client, err := api.NewClient(rest, api.WithToken(secret))
	if err != nil {
		return err
	}
	defer client.Close()
	batch, err := client.Submit(ctx, []byte(study), api.YAML)
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(rpc, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithPerRPCCredentials(auth.Credentials(secret)))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	r := &runner{RunnerServiceClient: runnerv1.NewRunnerServiceClient(conn)}
	jobs, err := r.work(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("batch_id=%s\ncompleted=%s\nrunning=%s\nkept=%v\n", batch.BatchID, jobs[0], jobs[1], r.session.GetKeepFiles())
	return nil
}

// runner is one that runs nothing.
type runner struct {
	runnerv1.RunnerServiceClient

	session *runnerv1.RegisterResponse
}

// work completes one job, begins another and returns both.
func (r *runner) work(ctx context.Context) ([]string, error) {
	var err error
	r.session, err = r.Register(ctx, &runnerv1.RegisterRequest{
		RunnerId: "runner-a", InstallationId: "seed", Version: "1", Hostname: "host", Executor: "docker",
		Capabilities: &runnerv1.Capabilities{MaxConcurrentJobs: 2, CpuCores: 2, MemoryGb: 4, SupportedSimulationTypes: []string{"basilisk"}},
	})
	if err != nil {
		return nil, err
	}
	claimed, err := r.ClaimJobs(ctx, &runnerv1.ClaimJobsRequest{SessionId: r.session.GetSessionId(), MaxJobs: 2})
	if err != nil {
		return nil, err
	}
	if len(claimed.GetAssignments()) != 2 {
		return nil, fmt.Errorf("claimed %d jobs, want 2", len(claimed.GetAssignments()))
	}
	var jobs []string
	for _, a := range claimed.GetAssignments() {
		jobs = append(jobs, a.GetJobId())
		ref := &runnerv1.AttemptRef{AttemptId: a.GetAttemptId(), Token: a.GetToken()}
		started := &runnerv1.ReportStartedRequest{SessionId: r.session.GetSessionId(), Attempt: ref, StartedAt: timestamppb.Now()}
		if _, err := r.ReportStarted(ctx, started); err != nil {
			return nil, err
		}
	}
	first := claimed.GetAssignments()[0]
	return jobs, r.complete(ctx, &runnerv1.AttemptRef{AttemptId: first.GetAttemptId(), Token: first.GetToken()})
}

func (r *runner) complete(ctx context.Context, ref *runnerv1.AttemptRef) error {
	files, err := attemptFiles()
	if err != nil {
		return err
	}
	csv := files["output/x.csv"]
	exit := int32(0)
	result := &runnerv1.Result{
		Outcome: "completed", StartedAt: timestamppb.Now(), EndedAt: timestamppb.Now(), ExitCode: &exit,
		Usage: &runnerv1.Usage{WallSeconds: 1.5, CpuSeconds: 1, PeakMemoryBytes: 1 << 20}, Directory: "/srv/attempt-1",
		Artifacts: []*runnerv1.Artifact{{Name: "x.csv", Size: int64(len(csv)), Sha256: sum(csv)}, {Name: "gone.csv", Size: 1, Sha256: sum(nil)}},
		Metrics:   map[string]float64{"final.radius_km": 7000.5},
		Telemetry: &runnerv1.TelemetrySummary{Samples: 3, Variables: []*runnerv1.VariableSummary{{Name: "h", Unit: "km", Count: 3, Min: 1, Max: 3, Last: 3}}},
	}
	report := &runnerv1.ReportResultRequest{SessionId: r.session.GetSessionId(), Attempt: ref, Result: result}
	if _, err := r.ReportResult(ctx, report); err != nil || !r.session.GetKeepFiles() {
		return err
	}
	stream, err := r.PutFiles(ctx)
	if err != nil {
		return err
	}
	err = stream.Send(&runnerv1.PutFilesRequest{Part: &runnerv1.PutFilesRequest_Open{
		Open: &runnerv1.PutFilesOpen{SessionId: r.session.GetSessionId(), Attempt: ref},
	}})
	for path, data := range files {
		header := &runnerv1.FileHeader{Path: path, Size: int64(len(data)), Sha256: sum(data)}
		err = errors.Join(err, stream.Send(&runnerv1.PutFilesRequest{Part: &runnerv1.PutFilesRequest_File{File: header}}))
		for part := range slices.Chunk(data, 64<<10) {
			err = errors.Join(err, stream.Send(&runnerv1.PutFilesRequest{Part: &runnerv1.PutFilesRequest_Chunk{Chunk: part}}))
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	_, err = stream.CloseAndRecv()
	return err
}

// attemptFiles are those of the completed attempt, by path.
func attemptFiles() (map[string][]byte, error) {
	type row struct {
		Time  float64 `parquet:"time,zstd"`
		Name  string  `parquet:"name,dict,zstd"`
		Value float64 `parquet:"value,zstd"`
		Unit  string  `parquet:"unit,dict,zstd"`
	}
	var table bytes.Buffer
	if err := parquet.Write(&table, []row{{0, "h", 1, "km"}, {1, "h", 2, "km"}, {2, "h", 3, "km"}}); err != nil {
		return nil, err
	}
	return map[string][]byte{
		"log/stdout.log": []byte("a line\n"), "log/stderr.log": {}, "telemetry.parquet": table.Bytes(), "output/x.csv": []byte("t,h\n0,1\n"),
	}, nil
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}
