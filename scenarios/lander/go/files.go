package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// softSpeed is the touchdown speed up to which the crushable legs hold, in m/s.
const softSpeed = 8.0

// trajectory writes what the run leaves. Errors are told by finish.
type trajectory struct {
	dir    string
	file   *os.File
	writer *bufio.Writer
}

func createTrajectory(dir string) (*trajectory, error) {
	if dir == "" {
		return nil, invalidf("TETRYX_OUTPUT_DIR is not set; it names the directory for this run's files")
	}
	f, err := os.Create(filepath.Join(dir, "trajectory.csv"))
	if err != nil {
		return nil, err
	}
	t := &trajectory{dir: dir, file: f, writer: bufio.NewWriter(f)}
	fmt.Fprintln(t.writer, "time_s,altitude_m,descent_speed_m_s,mass_kg")
	return t, nil
}

// row writes a line, with every digit.
func (t *trajectory) row(at instant) {
	fmt.Fprintf(t.writer, "%v,%v,%v,%v\n", at.time, at.altitude, at.speed, at.mass)
}

// finish completes trajectory.csv and writes summary.json, under another name
// first, so that a run that is killed leaves no half of it.
func (t *trajectory) finish(l landing) error {
	if err := errors.Join(t.writer.Flush(), t.file.Sync()); err != nil {
		return err
	}
	summary, err := json.MarshalIndent(map[string]any{
		"soft":                l.touchdown.speed <= softSpeed,
		"touchdown_speed_m_s": l.touchdown.speed,
		"flight_seconds":      l.touchdown.time,
		"burn_seconds":        l.burn,
		"propellant_left_kg":  l.fuel,
		"top_speed_m_s":       l.topSpeed,
		"check":               map[string]float64{"altitude_error_m": l.altitudeError, "speed_error_m_s": l.speedError},
	}, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(t.dir, "summary.json")
	if err := os.WriteFile(path+".part", append(summary, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}

// Close gives the file back.
func (t *trajectory) Close() { t.file.Close() }
