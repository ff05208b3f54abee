package config

import (
	"reflect"
	"strings"

	"github.com/tetryx/lynx-runner/internal/strictyaml"
)

// document is the file's shape. Every leaf can be absent (nil), so that layers
// lie over each other.
type document struct {
	RunnerID           *string                    `yaml:"runner_id"`
	Server             *string                    `yaml:"server"`
	TokenFile          *string                    `yaml:"token_file"`
	Executor           *string                    `yaml:"executor"`
	Engines            []string                   `yaml:"engines"`
	Commands           map[string]commandDocument `yaml:"commands"`
	Capabilities       *capabilities              `yaml:"capabilities"`
	PythonExecutable   *string                    `yaml:"python_executable"`
	Preload            []string                   `yaml:"preload"`
	BasiliskEntrypoint *string                    `yaml:"basilisk_entrypoint"`
	WorkingDirectory   *string                    `yaml:"working_directory"`
	OutputRoot         *string                    `yaml:"output_root"`
	MaxConcurrentJobs  *int                       `yaml:"max_concurrent_jobs"`
	MaxStarts          *int                       `yaml:"max_concurrent_starts"`
	Image              *string                    `yaml:"image"`
	Shim               *string                    `yaml:"shim"`
	StateDir           *string                    `yaml:"state_dir"`
	RuntimeDir         *string                    `yaml:"runtime_dir"`
	LockDir            *string                    `yaml:"lock_dir"`
	OnRunnerLoss       *string                    `yaml:"on_runner_loss"`
	OnRunnerLossFor    *duration                  `yaml:"on_runner_loss_for"`
	Environment        map[string]string          `yaml:"environment"`
	GPUs               *GPUs                      `yaml:"gpus"`
	Reserve            reserveDocument            `yaml:"reserve"`
	Sandbox            sandboxDocument            `yaml:"sandbox"`
	Retention          retentionDocument          `yaml:"retention"`
}

// capabilities is the five documented fields, or a plain list, which means
// supported_simulation_types.
type capabilities struct {
	MaxConcurrentJobs        *int     `yaml:"max_concurrent_jobs"`
	CPUCores                 *float64 `yaml:"cpu_cores"`
	MemoryGB                 *float64 `yaml:"memory_gb"`
	GPUAvailable             *bool    `yaml:"gpu_available"`
	SupportedSimulationTypes []string `yaml:"supported_simulation_types"`
}

// DecodeStrict implements strictyaml.Decoder.
func (c *capabilities) DecodeStrict(v strictyaml.Value) bool {
	if v.Kind() == strictyaml.List {
		return v.Decode(&c.SupportedSimulationTypes)
	}
	type plain capabilities // the same fields, without this method
	return v.Decode((*plain)(c))
}

// field is one leaf of a document.
type field struct {
	path string
	typ  reflect.Type
	// index is the way to the leaf, for reflect.Value.FieldByIndex.
	index []int
}

// env and flag are the leaf's other names.
func (f field) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(f.path, ".", "_"))
}

func (f field) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(f.path) }

// fields lists the leaves of a document in the order of its declaration.
func fields() []field { return appendFields(nil, reflect.TypeFor[document](), "", nil) }

func appendFields(list []field, t reflect.Type, prefix string, index []int) []field {
	for i := range t.NumField() {
		f := t.Field(i)
		path := prefix + f.Tag.Get("yaml")
		at := append(append([]int(nil), index...), i)
		if f.Type.Kind() == reflect.Struct {
			list = appendFields(list, f.Type, path+".", at)
			continue
		}
		list = append(list, field{path: path, typ: f.Type, index: at})
	}
	return list
}

// Paths returns the dotted path of every setting, in the order of the
// documentation; for listings.
func Paths() []string {
	all := fields()
	paths := make([]string, len(all))
	for i, f := range all {
		paths[i] = f.path
	}
	return paths
}

// overlay copies every leaf that over has into base.
func overlay(base, over *document, set func(path string)) {
	to, from := reflect.ValueOf(base).Elem(), reflect.ValueOf(over).Elem()
	for _, f := range fields() {
		if v := from.FieldByIndex(f.index); !v.IsNil() {
			to.FieldByIndex(f.index).Set(v)
			set(f.path)
		}
	}
}
