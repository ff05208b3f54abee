package strictyaml

import "errors"

// Decode parses one YAML or JSON document strictly into the struct that into
// points to, by its `yaml` tags. Its error is an *Errors.
func Decode(data []byte, filename string, into any) error {
	return errors.New("strictyaml: not written yet")
}
