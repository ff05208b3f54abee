package study_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tetryx/lynx-runner/internal/strictyaml"
	"github.com/tetryx/lynx-runner/internal/study"
)

// valid is the document that the table of errors breaks, one line at a time.
const valid = `simulation: {name: orbit}
monte_carlo: {runs: 10}
dispersions: {m: {distribution: {type: uniform, min: 0, max: 1}, units: kg}}
compute: {}
early_termination: {enabled: true, conditions: [{name: c, variable: v, operator: lt, threshold: 1, units: m}]}
telemetry: {}
`

// mistakes are replacements of the lines of valid, and the one error of each.
var mistakes = map[int][]struct{ text, want string }{
	1: {
		{"simulation: {}", "simulation.name: is missing; the batch is named after the simulation"},
		{"simulation: {name: ''}", "simulation.name: is empty; want 1 to 128 characters"},
		{"simulation: {name: ' x'}", `simulation.name: " x" begins or ends with a blank`},
		{"simulation: {name: \"a\\tb\"}", `simulation.name: "a\tb" contains the unprintable character U+0009`},
		{"simulation: {name: \"a\\u202eb\"}", `simulation.name: "a\u202eb" contains the unprintable character U+202E`},
		{"simulation: {name: " + strings.Repeat("ä", 129) + "}", "simulation.name: has 129 characters; want at most 128"},
		{"simulation: {name: x, version: 1.0}", `simulation.version: got 1.0; want a text: write it in quotes, "1.0"`},
		{"simulation: {name: x, type: PX4}", `simulation.type: "PX4" is no simulation type; want lower-case letters, digits, _ and -, a letter first, at most 64`},
		{"simulation: {name: x, type: ''}", `simulation.type: "" is no simulation type; want lower-case letters, digits, _ and -, a letter first, at most 64`},
		{"simulation: {name: x, duration_minutes: 0}", "simulation.duration_minutes: 0 is not positive; want more than 0"},
		{"simulation: {name: x, entrypoint: /etc/passwd}", `simulation.entrypoint: "/etc/passwd" is absolute; want a path relative to the runner's working directory`},
		{"simulation: {name: x, entrypoint: a/../../b}", `simulation.entrypoint: "a/../../b" contains ..; want a path below the runner's working directory`},
		{"simulation: {name: x, entrypoint: ..}", `simulation.entrypoint: ".." contains ..; want a path below the runner's working directory`},
		{"simulation: {name: x, entrypoint: 'a\\b.py'}", `simulation.entrypoint: "a\\b.py" contains a backslash; separate directories by /`},
		{"simulation: {name: x, entrypoint: -c}", `simulation.entrypoint: "-c" begins with a hyphen, like an option; want a path`},
		{"simulation: {name: x, entrypoint: a/}", `simulation.entrypoint: "a/" is a directory; want a file`},
		{"simulation: {name: x, entrypoint: ''}", `simulation.entrypoint: is empty; want 1 to 255 characters`},
		{"simulation: {name: x, entrypoint: ./.}", `simulation.entrypoint: "./." is a directory; want a file`},
		{"simulation: {name: x, shell: a}", `simulation.shell: unknown key "shell"; valid keys are command, duration_minutes, entrypoint, name, type, version`},
		{"simulation: {name: x, command: ./sim --fast}", `simulation.command: got "./sim --fast"; want a list`},
		{"simulation: {name: x, command: []}", "simulation.command: is empty; want the program and its arguments as a list, such as [/usr/local/bin/my-simulation, --fast]"},
		{"simulation: {name: x, command: }", "simulation.command: is empty; want the program and its arguments as a list, such as [/usr/local/bin/my-simulation, --fast]"},
		{"simulation: {name: x, command: [sim, '']}", "simulation.command[1]: is empty; leave it out, or write the argument"},
		{"simulation: {name: x, command: [sim, 5]}", `simulation.command[1]: got 5; want a text: write it in quotes, "5"`},
		{"simulation: {name: x, command: [sim, [a]]}", "simulation.command[1]: got a list; want a text"},
		{`simulation: {name: x, command: ["s\0m"]}`, "simulation.command[0]: contains a NUL character, which no argument of a program can"},
		{"simulation: {name: x, command: [" + strings.Repeat("a", 4097) + "]}", "simulation.command[0]: has 4097 bytes; want at most 4096"},
		{"simulation: {name: x, command: [" + strings.Repeat("a,", 257) + "]}", "simulation.command: has 257 items; want at most 256"},
		{"simulation: {name: x, entrypoint: a.py, command: [a]}", "simulation.command: does not go together with entrypoint; keep command for a program in an image, or entrypoint for a file below the runner's working directory"},
	},
	2: {
		{"monte_carlo: {}", "monte_carlo.runs: is missing; want the number of runs, 1 to 1000000"},
		{"monte_carlo: {runs: 0}", "monte_carlo.runs: 0 is out of range; want 1 to 1000000"},
		{"monte_carlo: {runs: -1}", "monte_carlo.runs: -1 is out of range; want 1 to 1000000"},
		{"monte_carlo: {runs: 1000001}", "monte_carlo.runs: 1000001 is out of range; want 1 to 1000000"},
		{"monte_carlo: {runs: 1.5}", "monte_carlo.runs: got 1.5; want a whole number"},
		{"monte_carlo: {runs: ten}", `monte_carlo.runs: got "ten"; want a whole number`},
		{"monte_carlo: {run: 10}", `monte_carlo.run: unknown key "run"; did you mean "runs"?`},
		{"monte_carlo: {runs: 1, sampling_method: latin-hypercube}", `monte_carlo.sampling_method: unknown sampling method "latin-hypercube"; did you mean "latin_hypercube"?`},
		{"monte_carlo: {runs: 1, sampling_method: sobol}", `monte_carlo.sampling_method: unknown sampling method "sobol"; want one of latin_hypercube, random`},
		{"monte_carlo: {runs: 1, seed: -1}", "monte_carlo.seed: got -1; want a whole number that is not negative"},
		{"monte_carlo: {runs: 1, seed: 9007199254740992}", "monte_carlo.seed: 9007199254740992 is out of range; want 0 to 9007199254740991"},
		{"monte_carlo: {runs: 1, seed: 1e20}", "monte_carlo.seed: 1e20 is too large"},
		{"monte_carlo: {runs: 1, max_failed: -1}", `monte_carlo.max_failed: -1: want a count from 0 to 1000000, or a percentage such as "2%"`},
		{"monte_carlo: {runs: 1, max_failed: 101%}", `monte_carlo.max_failed: "101%": a percentage is at most 100%`},
	},
	3: {
		{"dispersions: {m: {distribution: {type: uniform, min: 0, max: 1}}}", `dispersions.m.units: is missing; write the unit, or "none" for a dimensionless quantity`},
		{"dispersions: {m: {distribution: {type: uniform, min: 0, max: 1}, units: }}", `dispersions.m.units: has no value; write the unit, or "none" for a dimensionless quantity`},
		{"dispersions: {m: {distribution: {type: uniform, min: 0, max: 1}, units: 2}}", `dispersions.m.units: got 2; want a text: write it in quotes, "2"`},
		{"dispersions: {m: {distribution: {type: uniform, min: 0, max: 1}, units: 'm '}}", `dispersions.m.units: "m " begins or ends with a blank`},
		{"dispersions: {m: {distribution: {type: uniform, min: 0, max: 1}, unit: m}}", `dispersions.m.unit: unknown key "unit"; did you mean "units"?`},
		{"dispersions: {m: {units: kg}}", "dispersions.m.distribution: is missing; this key is required"},
		{"dispersions: {m: 5}", "dispersions.m: got 5; want a mapping of keys to values"},
		{"dispersions: [m]", "dispersions: got a list; want a mapping of names to values"},
		{"dispersions: {m: {distribution: {min: 0, max: 1}, units: kg}}", "dispersions.m.distribution.type: is missing; want one of constant, normal, uniform"},
		{"dispersions: {m: {distribution: {type: 1}, units: kg}}", `dispersions.m.distribution.type: got 1; want a text: write it in quotes, "1"`},
		{"dispersions: {m: {distribution: {type: gaussian}, units: kg}}", `dispersions.m.distribution.type: unknown distribution "gaussian"; want one of constant, normal, uniform`},
		{"dispersions: {m: {distribution: {type: Normal}, units: kg}}", `dispersions.m.distribution.type: unknown distribution "Normal"; did you mean "normal"?`},
		{"dispersions: {m: {distribution: uniform, units: kg}}", "dispersions.m.distribution.type: is missing; want one of constant, normal, uniform"},
		{"dispersions: {m: {distribution: {type: uniform, min: 2, max: 1}, units: kg}}", "dispersions.m.distribution.max: 1 is not greater than min, 2; want min < max (for one fixed value, use type: constant)"},
		{"dispersions: {m: {distribution: {type: uniform, min: 1, max: 1}, units: kg}}", "dispersions.m.distribution.max: 1 is not greater than min, 1; want min < max (for one fixed value, use type: constant)"},
		{"dispersions: {m: {distribution: {type: uniform, min: -1e308, max: 1e308}, units: kg}}", "dispersions.m.distribution.max: max − min overflows double precision (min -1e+308, max 1e+308); want a narrower range"},
		{"dispersions: {m: {distribution: {type: uniform, min: .nan, max: 1}, units: kg}}", `dispersions.m.distribution.min: ".nan" is not a finite number`},
		{"dispersions: {m: {distribution: {type: uniform, min: 0, max: .inf}, units: kg}}", `dispersions.m.distribution.max: ".inf" is not a finite number`},
		{"dispersions: {m: {distribution: {type: uniform, min: 5, mx: 1}, units: kg}}", `dispersions.m.distribution.mx: unknown key "mx"; did you mean "max"?`},
		{"dispersions: {m: {distribution: {type: uniform, min: 5}, units: kg}}", `dispersions.m.distribution.max: is missing; this key is required`},
		{"dispersions: {m: {distribution: {type: normal, mean: 1, std_dev: 0}, units: kg}}", "dispersions.m.distribution.std_dev: 0 is not positive; want std_dev > 0 (for one fixed value, use type: constant)"},
		{"dispersions: {m: {distribution: {type: normal, mean: 1, std_dev: -1}, units: kg}}", "dispersions.m.distribution.std_dev: -1 is not positive; want std_dev > 0 (for one fixed value, use type: constant)"},
		{"dispersions: {m: {distribution: {type: normal, mean: 1, std_dev: 1e308}, units: kg}}", "dispersions.m.distribution.std_dev: mean 1 and std_dev 1e+308 reach beyond double precision"},
		{"dispersions: {m: {distribution: {type: normal, mean: 1, stddev: 2}, units: kg}}", `dispersions.m.distribution.stddev: unknown key "stddev"; did you mean "std_dev"?`},
		{"dispersions: {m: {distribution: {type: constant}, units: kg}}", `dispersions.m.distribution.value: is missing; this key is required`},
		{"dispersions: {m: {distribution: {type: constant, value: 1, min: 0}, units: kg}}", `dispersions.m.distribution.min: unknown key "min"; valid keys are type, value`},
		{"dispersions: {2m: {distribution: {type: constant, value: 1}, units: kg}}", `dispersions.2m: "2m" is no parameter name; want letters, digits, _, . and -, a letter or _ first, at most 64`},
		{"dispersions: {a/b: {distribution: {type: constant, value: 1}, units: kg}}", `dispersions."a/b": "a/b" is no parameter name; want letters, digits, _, . and -, a letter or _ first, at most 64`},
		{"dispersions: {m: {distribution: {type: constant, value: 1}, units: kg}, m: {distribution: {type: constant, value: 2}, units: kg}}", `dispersions.m: the key "m" is already set on line 3`},
	},
	4: {
		{"compute: {max_retries: 11}", "compute.max_retries: 11 is out of range; want 0 to 10"},
		{"compute: {max_retries: -1}", "compute.max_retries: -1 is out of range; want 0 to 10"},
		{"compute: {max_parallel_jobs: 0}", "compute.max_parallel_jobs: 0 is out of range; want 1 to 1000000"},
		{"compute: {job_timeout_seconds: 0}", "compute.job_timeout_seconds: 0 is out of range; want 1 to 2592000"},
		{"compute: {job_timeout_seconds: 1e7}", "compute.job_timeout_seconds: 10000000 is out of range; want 1 to 2592000"},
		{"compute: {isolation: none}", `compute.isolation: "none" is no isolation; want job (each job has a container of its own) or batch (the jobs of the batch share them, one after another)`},
		{"compute: {isolation: ''}", `compute.isolation: "" is no isolation; want job (each job has a container of its own) or batch (the jobs of the batch share them, one after another)`},
		{"compute: {container: {image: '-v'}}", `compute.container.image: "-v" is no image reference; want one such as registry.example.org/team/simulation:1.2`},
		{"compute: {container: {image: 'a b'}}", `compute.container.image: "a b" is no image reference; want one such as registry.example.org/team/simulation:1.2`},
		{"compute: {container: {cpu_request: two}}", `compute.container.cpu_request: "two": not a Kubernetes quantity; want a number with an optional suffix, such as 2, 500m or 2Gi`},
		{"compute: {container: {cpu_request: 1e999999999}}", `compute.container.cpu_request: 1e999999999: not a Kubernetes quantity; want a number with an optional suffix, such as 2, 500m or 2Gi`},
		{"compute: {container: {cpu_request: -1}}", `compute.container.cpu_request: -1: not a Kubernetes quantity; want a number with an optional suffix, such as 2, 500m or 2Gi`},
		{"compute: {container: {cpu_request: 0}}", `compute.container.cpu_request: "0" is out of range; want 1m (a thousandth of a core) to 1000 cores`},
		{"compute: {container: {cpu_request: 1001}}", `compute.container.cpu_request: "1001" is out of range; want 1m (a thousandth of a core) to 1000 cores`},
		{"compute: {container: {memory_request: 512m}}", `compute.container.memory_request: "512m" is out of range; want 6Mi to 1Pi (Mi is mebibytes; m is thousandths of a byte)`},
		{"compute: {container: {memory_request: 2Ei}}", `compute.container.memory_request: "2Ei" is out of range; want 6Mi to 1Pi (Mi is mebibytes; m is thousandths of a byte)`},
		{"compute: {container: {gpu_request: 0.5}}", `compute.container.gpu_request: "0.5" is no number of GPUs; want a whole number, 0 to 1024`},
		{"compute: {container: {gpu_request: 2k}}", `compute.container.gpu_request: "2k" is no number of GPUs; want a whole number, 0 to 1024`},
		{"compute: {container: {mounts: []}}", `compute.container.mounts: unknown key "mounts"; valid keys are cpu_request, gpu_request, image, memory_request`},
	},
	5: {
		{"early_termination: {conditions: [{name: c, variable: v, operator: lt, threshold: 1, units: m}]}", "early_termination.enabled: is missing; write true to apply the conditions, or false to keep them inactive"},
		{"early_termination: {enabled: yes}", `early_termination.enabled: got "yes"; want true or false`},
		{"early_termination: {check_frequency_hz: 0}", "early_termination.check_frequency_hz: 0 is not positive; want more than 0"},
		{"early_termination: {enabled: true, conditions: [{variable: v, operator: lt, threshold: 1, units: m}]}", "early_termination.conditions[0].name: is missing; this key is required"},
		{"early_termination: {enabled: true, conditions: [{name: c, operator: lt, threshold: 1, units: m}]}", "early_termination.conditions[0].variable: is missing; this key is required"},
		{"early_termination: {enabled: true, conditions: [{name: c, variable: '', operator: lt, threshold: 1, units: m}]}", "early_termination.conditions[0].variable: is empty; want 1 to 128 characters"},
		{"early_termination: {enabled: true, conditions: [{name: c, variable: v, threshold: 1, units: m}]}", "early_termination.conditions[0].operator: is missing; this key is required"},
		{"early_termination: {enabled: true, conditions: [{name: c, variable: v, operator: lt, units: m}]}", "early_termination.conditions[0].threshold: is missing; this key is required"},
		{"early_termination: {enabled: true, conditions: [{name: c, variable: v, operator: lt, threshold: .nan, units: m}]}", `early_termination.conditions[0].threshold: ".nan" is not a finite number`},
		{"early_termination: {enabled: true, conditions: [{name: c, variable: v, operator: lt, threshold: 1}]}", `early_termination.conditions[0].units: is missing; write the unit, or "none" for a dimensionless quantity`},
		{"early_termination: {enabled: true, conditions: [{name: c, variable: v, operator: <, threshold: 1, units: m}]}", `early_termination.conditions[0].operator: unknown operator "<"; did you mean "lt"?`},
		{"early_termination: {enabled: true, conditions: [{name: c, variable: v, operator: ge, threshold: 1, units: m}]}", `early_termination.conditions[0].operator: unknown operator "ge"; did you mean "gte"?`},
		{"early_termination: {enabled: true, conditions: [{name: c, variable: v, operator: GTE, threshold: 1, units: m}]}", `early_termination.conditions[0].operator: unknown operator "GTE"; did you mean "gte"?`},
		{"early_termination: {enabled: true, conditions: [{name: c, variable: v, operator: below, threshold: 1, units: m}]}", `early_termination.conditions[0].operator: unknown operator "below"; want one of lt, lte, gt, gte, eq, neq`},
		{"early_termination: {enabled: true, conditions: [{name: c, variable: v, operator: lt, threshold: 1, units: m, all_of: []}]}", `early_termination.conditions[0].all_of: unknown key "all_of"; valid keys are description, name, operator, threshold, units, variable`},
		{"early_termination: {enabled: true, conditions: [{name: c, variable: v, operator: lt, threshold: 1, units: m}, {name: c, variable: w, operator: lt, threshold: 1, units: m}]}", `early_termination.conditions[1].name: "c" is also the name of conditions[0]; names of conditions are unique`},
		{"early_termination: {enabled: true, conditions: [{name: c, description: " + strings.Repeat("x", 2001) + ", variable: v, operator: lt, threshold: 1, units: m}]}", "early_termination.conditions[0].description: has 2001 characters; want at most 2000"},
	},
	6: {
		{"telemetry: {sampling_rate_hz: 0}", "telemetry.sampling_rate_hz: 0 is not positive; want more than 0"},
		{"telemetry: {buffer_flush_interval_seconds: -1}", "telemetry.buffer_flush_interval_seconds: -1 is not positive; want more than 0"},
		{"telemetry: {storage: {s3_buckt: x}}", `telemetry.storage.s3_buckt: unknown key "s3_buckt"; did you mean "s3_bucket"?`},
		{"telemetry: {storage: {s3_prefix: \"a\\u0007\"}}", `telemetry.storage.s3_prefix: "a\a" contains the unprintable character U+0007`},
		{"telemtry: {}", `telemtry: unknown key "telemtry"; did you mean "telemetry"?`},
		{"name: x", `name: unknown key "name"; valid keys are compute, dispersions, early_termination, monte_carlo, simulation, telemetry`},
	},
}

func TestParseErrors(t *testing.T) {
	for line, tests := range mistakes {
		for _, test := range tests {
			t.Run(test.text, func(t *testing.T) {
				lines := strings.Split(valid, "\n")
				lines[line-1] = test.text
				list := parseErrors(t, strings.Join(lines, "\n"))
				if len(list) != 1 {
					t.Fatalf("got %d errors:\n%v", len(list), list)
				}
				if got := list[0].Path + ": " + list[0].Message; got != test.want {
					t.Error(cmp.Diff(test.want, got))
				}
				if list[0].File != "study.yaml" || list[0].Line != line || list[0].Column < 1 {
					t.Errorf("it is said to be at %s:%d:%d, and is on line %d", list[0].File, list[0].Line, list[0].Column, line)
				}
			})
		}
	}
}

// parseErrors reads a document that must be wrong.
func parseErrors(t testing.TB, document string) []strictyaml.Error {
	t.Helper()
	r, err := study.Parse([]byte(document), "study.yaml")
	var list *strictyaml.Errors
	if r != nil || !errors.As(err, &list) {
		t.Fatalf("got %v and the error %v", r, err)
	}
	return list.List
}

func TestParseWholeRequestErrors(t *testing.T) {
	for document, want := range map[string]string{
		"config: {monte_carlo: {runs: 1}}":                                              "study.yaml:1:1: name: is missing; give the batch a name (or the simulation one, in config.simulation.name)",
		"name: \"a\\nb\"\nconfig: {monte_carlo: {runs: 1}}":                             "study.yaml:1:7: name: \"a\\nb\" contains the unprintable character U+000A",
		"name: x\nruns_override: 0\nconfig: {}":                                         "study.yaml:2:16: runs_override: 0 is out of range; want 1 to 1000000",
		"name: x\nconfig:\n  monte_carlo: {runs: 0}":                                    "study.yaml:3:23: config.monte_carlo.runs: 0 is out of range; want 1 to 1000000",
		"name: x\nconfig: {monte_carlo: {runs: 1}}\nsimulation: {}":                     "study.yaml:3:1: simulation: unknown key \"simulation\"; valid keys are config, name, runs_override",
		"name: x\nconfig: {monte_carlo: {runs: 1}}\nruns_overide: 5":                    "study.yaml:3:1: runs_overide: unknown key \"runs_overide\"; did you mean \"runs_override\"?",
		"name: x\nconfig: 5":                                                            "study.yaml:2:9: config: got 5; want a mapping of keys to values",
		"name: x\nconfig: {monte_carlo: {runs: 1, sead: 1}, compute: {max_retries: a}}": "study.yaml:2:33: config.monte_carlo.sead: unknown key \"sead\"; did you mean \"seed\"?\nstudy.yaml:2:66: config.compute.max_retries: got \"a\"; want a whole number",
	} {
		_, err := study.Parse([]byte(document), "study.yaml")
		if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
			t.Errorf("%s: %s", document, diff)
		}
	}
}

// TestAllErrorsAtOnce: a study that is wrong in every section names each mistake
// once, in the order of the lines.
func TestAllErrorsAtOnce(t *testing.T) {
	_, err := study.Parse([]byte(readFile(t, "testdata/wrong.yaml")), "wrong.yaml")
	if diff := cmp.Diff(readFile(t, "testdata/wrong.errors"), fmt.Sprintln(err)); diff != "" {
		t.Error(diff)
	}
}

func TestTooManyValues(t *testing.T) {
	var b strings.Builder
	b.WriteString("simulation: {name: x}\nmonte_carlo: {runs: 1e6}\ndispersions:\n")
	for i := range 25 {
		fmt.Fprintf(&b, "  p%d: {distribution: {type: constant, value: 1}, units: m}\n", i)
	}
	list := parseErrors(t, b.String())
	want := "1000000 runs of 25 parameters are too many values; want at most 20000000 in all, so at most 800000 runs"
	if len(list) != 1 || list[0].Message != want {
		t.Errorf("got %v", list)
	}
}

func TestTooManyParameters(t *testing.T) {
	var b strings.Builder
	b.WriteString("simulation: {name: x}\nmonte_carlo: {runs: 1}\ndispersions:\n")
	for i := range study.MaxParameters + 1 {
		fmt.Fprintf(&b, "  p%d: {distribution: {type: constant, value: 1}, units: m}\n", i)
	}
	list := parseErrors(t, b.String())
	if len(list) != 1 || list[0].Message != "1001 parameters are too many; want at most 1000" {
		t.Errorf("got %v", list)
	}
}
