package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func validateCommand(p *Program) *cobra.Command {
	return &cobra.Command{
		Use:   "validate STUDY",
		Short: "Check a study file, with line numbers for what is wrong",
		Example: `  lynxctl validate scenarios/aerospace/configs/basic_orbit_tutorial.yaml
  lynxctl validate study.yaml && lynxctl run study.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			request, err := readStudy(args[0])
			if err != nil {
				return err
			}
			for _, warning := range request.Warnings() {
				fmt.Fprintln(p.Stderr, "warning:", escape(warning))
			}
			fmt.Fprintf(p.Stdout, "%s is valid: %s, %s, sampled by %s\n", args[0],
				runs(request.Runs()), counted(len(request.Config.Dispersions), "dispersion"), request.Config.MonteCarlo.SamplingMethod)
			return nil
		},
	}
}
