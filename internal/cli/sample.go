package cli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/internal/study"
)

func sampleCommand(p *Program) *cobra.Command {
	var runs int
	var format string
	cmd := &cobra.Command{
		Use:   "sample STUDY",
		Short: "Print the sampling design of a study, without running it",
		Long: `Print the sampling design of a study: the values and the seed of each run, exactly
as a platform draws them. A study without a seed gets a new one, which is printed.`,
		Example: `  lynxctl sample study.yaml --runs 10
  lynxctl sample study.yaml --format csv > design.csv`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			write, ok := designFormats[format]
			if !ok {
				return exit(ExitUsage, fmt.Errorf("--format %q: must be table, csv or json", format))
			}
			file, err := readStudy(args[0])
			if err != nil {
				return err
			}
			request := file.Request
			if err := applyRuns(request, runs); err != nil {
				return err
			}
			seed := request.Config.MonteCarlo.Seed
			if seed == nil {
				drawn := rand.Uint64N(study.MaxSeed + 1)
				seed = &drawn
				fmt.Fprintf(p.Stderr, "the study has no seed; this design is of seed %d\n", drawn)
			}
			design, err := study.Sample(request, *seed)
			if err != nil {
				return exit(ExitUsage, err)
			}
			return write(p, design, file.order)
		},
	}
	cmd.Flags().IntVar(&runs, "runs", 0, "number of runs, instead of the study's")
	cmd.Flags().StringVar(&format, "format", "table", "table, csv or json")
	return cmd
}

// designFormats are the ways in which a design can be printed.
var designFormats = map[string]func(p *Program, d *study.Design, order []string) error{
	"table": writeDesignTable,
	"csv":   func(p *Program, d *study.Design, _ []string) error { return writeDesignCSV(p.Stdout, d) },
	"json":  func(p *Program, d *study.Design, _ []string) error { return writeDesignJSON(p.Stdout, d) },
}

// writeDesignTable prints the parameters in the order of the study.
func writeDesignTable(p *Program, d *study.Design, order []string) error {
	t := &table{rows: make([][]string, d.Runs())}
	t.column("run", true)
	for k := range t.rows {
		t.rows[k] = append(t.rows[k], strconv.Itoa(k))
	}
	names, units := d.Names(), d.Units()
	for _, name := range order {
		i := slices.Index(names, name)
		values := make([]float64, d.Runs())
		for k := range values {
			values[k] = d.Row(k)[i]
		}
		t.column(withUnit(name, units[i]), true)
		format := formatter(values)
		for k, v := range values {
			t.rows[k] = append(t.rows[k], format(v))
		}
	}
	t.column("seed", true)
	for k := range t.rows {
		t.rows[k] = append(t.rows[k], strconv.FormatUint(d.RunSeed(k), 10))
	}
	return t.write(p.Stdout, p.Width)
}

func writeDesignCSV(w io.Writer, d *study.Design) error {
	out := csv.NewWriter(w)
	_ = out.Write(append(append([]string{"run_index"}, d.Names()...), "seed"))
	for k := range d.Runs() {
		cells := []string{strconv.Itoa(k)}
		for _, v := range d.Row(k) {
			cells = append(cells, strconv.FormatFloat(v, 'g', -1, 64))
		}
		_ = out.Write(append(cells, strconv.FormatUint(d.RunSeed(k), 10)))
	}
	out.Flush()
	return out.Error()
}

// designRun is one run of a design in JSON.
type designRun struct {
	RunIndex   int                `json:"run_index"`
	Seed       uint64             `json:"seed"`
	Parameters map[string]float64 `json:"parameters"`
}

func writeDesignJSON(w io.Writer, d *study.Design) error {
	units := map[string]string{}
	for i, name := range d.Names() {
		if unit := d.Units()[i]; unit != "" {
			units[name] = unit
		}
	}
	runs := make([]designRun, d.Runs())
	for k := range runs {
		runs[k] = designRun{RunIndex: k, Seed: d.RunSeed(k), Parameters: map[string]float64{}}
		for i, v := range d.Row(k) {
			runs[k].Parameters[d.Names()[i]] = v
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Seed  uint64            `json:"seed"`
		Units map[string]string `json:"units"`
		Runs  []designRun       `json:"runs"`
	}{d.Seed(), units, runs})
}
