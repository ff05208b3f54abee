package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
)

// config is what this program reads of the run configuration.
type config struct {
	Parameters map[string]float64 `json:"parameters"`
	Units      map[string]string  `json:"units"`
}

// invalidError is a configuration that makes no sense: the study's fault.
type invalidError struct{ message string }

func (e *invalidError) Error() string { return e.message }

func invalidf(format string, args ...any) error {
	return &invalidError{fmt.Sprintf(format, args...)}
}

func readConfig(path string) (config, error) {
	if path == "" {
		return config{}, invalidf("TETRYX_RUN_CONFIG is not set; it names the file with this run's parameters")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return config{}, fmt.Errorf("run configuration: %w", err)
	}
	var c config
	if err := json.Unmarshal(data, &c); err != nil {
		return config{}, invalidf("run configuration: %v", err)
	}
	return c, nil
}

// lander makes a lander of the parameters, each of which must be there, in range,
// and in the right unit if the study names one.
func (c config) lander() (lander, error) {
	var l lander
	for _, p := range []struct {
		name, unit  string
		to          *float64
		least, most float64
	}{
		{"initial_altitude_m", "m", &l.altitude, 10, 20_000},
		{"initial_speed_m_s", "m/s", &l.speed, 0, 500},
		{"ignition_altitude_m", "m", &l.ignition, 0, 20_000},
		{"dry_mass_kg", "kg", &l.dryMass, 1, 1e6},
		{"propellant_kg", "kg", &l.propellant, 0, 1e6},
		{"thrust_n", "N", &l.thrust, 1, 1e8},
		{"specific_impulse_s", "s", &l.impulse, 1, 1000},
	} {
		x, ok := c.Parameters[p.name]
		switch unit := c.Units[p.name]; {
		case !ok:
			return lander{}, invalidf("parameter %s is missing", p.name)
		case unit != "" && unit != p.unit:
			return lander{}, invalidf("parameter %s is in %q; want %q", p.name, unit, p.unit)
		case math.IsNaN(x) || x < p.least || x > p.most:
			return lander{}, invalidf("parameter %s is %v; want %v to %v %s", p.name, x, p.least, p.most, p.unit)
		}
		*p.to = x
	}
	return l, nil
}
