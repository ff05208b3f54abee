package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tetryx/lynx-runner/internal/runner/config"
)

func configCommand(p *program) *cobra.Command {
	var s settings
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print each effective setting and where it came from",
		Long: `Print each effective setting and where it came from: the built-in default, the
file, a LYNX_RUNNER_... variable or a flag, of which the last wins.`,
		Example: `  lynx-runner config --config configs/lynx-runner-basilisk.yaml
  LYNX_RUNNER_SANDBOX_MEMORY=2Gi lynx-runner config --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.load(cmd, p.environ)
			if err != nil {
				return err
			}
			if asJSON {
				return printSettingsJSON(p.stdout, cfg)
			}
			return printSettings(p.stdout, cfg)
		},
	}
	s.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// setting is one setting in JSON.
type setting struct {
	Path   string `json:"path"`
	Value  any    `json:"value"`
	Origin string `json:"origin"`
	// Name is the file, the variable or the flag; empty for a default.
	Name string `json:"name,omitempty"`
}

func printSettingsJSON(w io.Writer, cfg *config.Config) error {
	var list []setting
	for _, path := range config.Paths() {
		origin := cfg.Origin(path)
		list = append(list, setting{Path: path, Value: cfg.Value(path), Origin: origin.Kind, Name: origin.Name})
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(list)
}

func printSettings(w io.Writer, cfg *config.Config) error {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, path := range config.Paths() {
		value, err := valueText(cfg.Value(path))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		origin := cfg.Origin(path)
		from := origin.Name
		if origin.Kind == "default" {
			from = "default"
		}
		fmt.Fprintf(out, "%s\t%s\t%s\n", path, from, value)
	}
	if err := out.Flush(); err != nil {
		return failure{err}
	}
	return nil
}

// valueText is a value on one line: text as it is, lists and the like as JSON.
func valueText(value any) (string, error) {
	switch v := value.(type) {
	case nil:
		return "-", nil
	case string:
		return v, nil
	case []string:
		return strings.Join(v, ", "), nil
	}
	text, err := json.Marshal(value)
	return string(text), err
}
