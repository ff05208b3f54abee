package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tetryx/lynx-runner/api"
)

// begun is what is kept of a study that was begun, to continue it as it was.
type begun struct {
	// Study is the path of its file, absolute, and Text what was in it: the file
	// may be another one by now.
	Study string `json:"study"`
	Text  string `json:"text"`

	Config      string   `json:"config,omitempty"`
	ConfigFound bool     `json:"config_found,omitempty"`
	Work        string   `json:"working_directory,omitempty"`
	Executor    string   `json:"executor,omitempty"`
	Metrics     []string `json:"metrics,omitempty"`
}

func begunFile(output, batch string) string {
	return filepath.Join(output, stateName, "studies", batch+".json")
}

// remember keeps what continuing the batch takes.
func (o runOptions) remember(file *studyFile, batch string) error {
	b := begun{Study: o.study, Text: string(file.text), Config: o.config, ConfigFound: o.configFound, Work: o.work, Executor: o.executor, Metrics: o.metrics}
	for _, path := range []*string{&b.Study, &b.Config, &b.Work} {
		if *path == "" {
			continue
		}
		var err error
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	path := begunFile(o.output, batch)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o600)
}

// recall finds the batch that --resume names, by the output directory that it was
// run in or by its own directory there, and sets the options to what they were.
func (o *runOptions) recall() (batch string, file *studyFile, err error) {
	if o.output, batch, err = locate(o.resume); err != nil {
		return "", nil, exit(ExitUsage, fmt.Errorf("--resume %s: %w", o.resume, err))
	}
	text, err := os.ReadFile(begunFile(o.output, batch))
	var b begun
	if err == nil {
		err = json.Unmarshal(text, &b)
	}
	if err != nil {
		return "", nil, exit(ExitUsage, fmt.Errorf("--resume %s: what is known of batch %s can't be read: %w", o.resume, batch, err))
	}
	o.study = b.Study
	if o.config == "" {
		o.config, o.configFound = b.Config, b.ConfigFound
	}
	o.work, o.executor = cmp.Or(o.work, b.Work), cmp.Or(o.executor, b.Executor)
	if len(o.metrics) == 0 {
		o.metrics = b.Metrics
	}
	file, err = parseStudy([]byte(b.Text), b.Study)
	return batch, file, err
}

// locate takes an output directory, of which it finds the newest batch, or the
// directory of a batch.
func locate(dir string) (output, batch string, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return "", "", err
	}
	if isDir(filepath.Join(dir, stateName)) {
		batch, err = os.Readlink(filepath.Join(dir, "latest"))
		if errors.Is(err, fs.ErrNotExist) {
			return "", "", errors.New("no study was begun there")
		}
		return dir, filepath.Base(batch), err
	}
	if target, err := filepath.EvalSymlinks(dir); err == nil && isDir(filepath.Join(filepath.Dir(target), stateName)) {
		return filepath.Dir(target), filepath.Base(target), nil
	}
	return "", "", errors.New("is neither the output directory of a `lynxctl run`, nor a batch's directory in one")
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// resumeBatch makes an interrupted batch go on: what was cancelled is to be run
// again, what waits or was left by a process that is gone runs anyway, and what
// has ended by itself stays as it is.
func (o runOptions) resumeBatch(ctx context.Context, p *Program, client *api.Client, batch string) error {
	retry, err := client.RetryBatch(ctx, batch, api.JobCancelled)
	if err != nil {
		return clientError(err)
	}
	if err := setAside(ctx, p, client, o.output, batch); err != nil {
		return err
	}
	b := retry.Batch
	fmt.Fprintf(p.Stderr, "%s, resumed: %d of %s are done, seed %d\n", escape(b.Name), finished(&retry.BatchStatus), runs(b.TotalJobs), b.Seed)
	o.showFiles(p, batch)
	return nil
}

// setAside cancels what an earlier process left unfinished in this output
// directory, but for one batch: its runs would come first.
func setAside(ctx context.Context, p *Program, client *api.Client, output, but string) error {
	for b, err := range walk(func(l api.List) (*api.Page[api.Batch], error) { return client.Batches(ctx, l) }) {
		if err != nil {
			return clientError(err)
		}
		if b.Status.Terminal() || b.CancelRequested || b.BatchID == but {
			continue
		}
		if _, err := client.CancelBatch(ctx, b.BatchID); err != nil {
			return clientError(err)
		}
		fmt.Fprintf(p.Stderr, "an earlier study here, %s, was not over and is set aside; to continue it: lynxctl run --resume %s\n",
			escape(b.Name), filepath.Join(output, b.BatchID))
	}
	return nil
}
