"""The scenario against known answers, with real Basilisk: scripts/test-scenario.sh.

Runs inside the image, which has no pytest, hence unittest; and without a network.
"""

import csv
import json
import math
import os
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from pathlib import Path

import numpy as np

SCENARIO = Path(__file__).parents[1] / "scenario_basic_orbit_lynx.py"
sys.path.insert(0, str(SCENARIO.parent))

import overlay_orbits  # noqa: E402
import scenario_basic_orbit_lynx as scenario  # noqa: E402
import two_body  # noqa: E402

LEO = {
    "semi_major_axis_m": 7000e3,
    "eccentricity": 1e-4,
    "inclination_deg": 33.3,
    "raan_deg": 48.2,
    "arg_perigee_deg": 347.8,
    "true_anomaly_deg": 85.3,
    "duration_orbits": 0.75,
}

# time: position, velocity. An independent RK4 at 10 s, with Basilisk's mu.
TABLE = {
    0: (
        (-2816801.601023, 5248174.846916, 3677157.264677),
        (-6179.638173, -4159.862041, 1204.771171),
    ),
    10: (
        (-2878433.113254, 5206272.082688, 3688991.078785),
        (-6146.544919, -4220.609612, 1161.968753),
    ),
    100: (
        (-3417217.796457, 4802528.445795, 3776055.429486),
        (-5817.056273, -4744.429658, 771.278579),
    ),
    1000: (
        (-6383219.357710, -916780.671583, 2724380.377493),
        (-249.041583, -6952.235495, -2921.945023),
    ),
    4370: (
        (5736376.519349, 3849961.132925, -1123395.968730),
        (-3026.329607, 5665.262071, 3962.373537),
    ),
}


class Run:
    """One run of the scenario as a job: a process with nothing but its variables."""

    def __init__(self, parameters: dict[str, float], **environment: str) -> None:
        directory = tempfile.TemporaryDirectory()
        self._cleanup = directory
        self.output = Path(directory.name) / "output"
        config = Path(directory.name) / "run.json"
        config.write_text(json.dumps({"parameters": parameters}))
        self.done = subprocess.run(
            [sys.executable, str(SCENARIO)],
            env={
                "PATH": os.environ["PATH"],
                # Basilisk's data fetcher wants to know where a cache would be.
                "HOME": directory.name,
                "TETRYX_RUN_CONFIG": str(config),
                "TETRYX_OUTPUT_DIR": str(self.output),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def close(self) -> None:
        self._cleanup.cleanup()

    def trajectory(self) -> np.ndarray:
        with (self.output / "trajectory.csv").open(newline="") as file:
            header, *rows = csv.reader(file)
        assert tuple(header) == scenario.HEADER, header
        return np.array(rows, dtype=float)

    def summary(self) -> dict:
        return json.loads((self.output / "summary.json").read_text())


class KnownAnswers(unittest.TestCase):
    def run_scenario(self, parameters: dict[str, float], **environment: str) -> Run:
        run = Run(parameters, **environment)
        self.addCleanup(run.close)
        return run

    def test_the_published_orbit(self) -> None:
        run = self.run_scenario(LEO)
        self.assertEqual((run.done.returncode, run.done.stderr), (0, ""))
        rows = run.trajectory()
        self.assertEqual(rows[:, 0].tolist(), [10.0 * k for k in range(438)])
        for seconds, (position, velocity) in TABLE.items():
            row = rows[seconds // 10]
            np.testing.assert_allclose(row[1:4], position, rtol=0, atol=1e-6)
            np.testing.assert_allclose(row[4:7], velocity, rtol=0, atol=1e-6)

    def test_the_summary_tells_the_truth_about_the_trajectory(self) -> None:
        run = self.run_scenario(LEO)
        rows, summary = run.trajectory(), run.summary()
        self.assertIs(summary["success"], True)
        self.assertEqual(summary["sample_count"], len(rows))
        self.assertEqual(summary["duration_seconds"], 4370.0)
        radii = np.linalg.norm(rows[:, 1:4], axis=1) / 1e3
        self.assertAlmostEqual(summary["final_radius_km"], radii[-1], delta=1e-9)
        self.assertAlmostEqual(summary["minimum_radius_km"], radii.min(), delta=1e-9)
        self.assertAlmostEqual(summary["maximum_radius_km"], radii.max(), delta=1e-9)
        self.assertGreater(summary["execution_time_seconds"], 0)
        # The recorded error of RK4 at this step is 0.0137 m and 1.9e-11.
        self.assertAlmostEqual(summary["check"]["position_error_m"], 0.0137, delta=1e-4)
        self.assertAlmostEqual(summary["check"]["relative_energy_drift"], 1.9e-11, delta=1e-12)

    def test_the_same_parameters_give_the_same_files(self) -> None:
        first, second = self.run_scenario(LEO), self.run_scenario(LEO)
        for name in ("trajectory.csv", "orbit_position.png"):
            self.assertEqual(
                (first.output / name).read_bytes(), (second.output / name).read_bytes(), name
            )
        names = sorted(path.name for path in first.output.iterdir())
        self.assertEqual(names, ["orbit_position.png", "summary.json", "trajectory.csv"])

    def test_each_dispersed_parameter_has_its_effect(self) -> None:
        """Outputs, not inputs, show that a dispersion was applied."""
        generator = np.random.default_rng(7)
        for _ in range(3):
            parameters = {
                "semi_major_axis_m": generator.uniform(6950e3, 7050e3),
                "eccentricity": generator.uniform(0.00005, 0.002),
                "inclination_deg": generator.uniform(30, 36),
                "raan_deg": generator.uniform(40, 55),
                "arg_perigee_deg": generator.uniform(330, 355),
                "true_anomaly_deg": generator.uniform(70, 100),
                "duration_orbits": generator.uniform(0.7, 0.8),
            }
            run = self.run_scenario(parameters)
            last = run.trajectory()[-1]
            elements = scenario.Elements(
                parameters["semi_major_axis_m"],
                parameters["eccentricity"],
                *(
                    math.radians(parameters[name])
                    for name in (
                        "inclination_deg",
                        "raan_deg",
                        "arg_perigee_deg",
                        "true_anomaly_deg",
                    )
                ),
            )
            period = elements.period(scenario.EARTH_MU)
            self.assertEqual(last[0], 10 * math.floor(parameters["duration_orbits"] * period / 10))
            position, _ = two_body.state_at(elements, scenario.EARTH_MU, last[0])
            self.assertLess(np.linalg.norm(last[1:4] - position), 0.05)
            check = run.summary()["check"]
            self.assertLess(check["semi_major_axis_error_m"], 0.01)
            self.assertLess(check["relative_energy_drift"], 1e-9)
            self.assertLess(check["relative_momentum_drift"], 1e-9)

    def test_falling_orbits_cross_the_threshold_at_the_known_sample(self) -> None:
        for a, e, f, seconds in (
            (7000e3, 0.15, 85.3, 3980),
            (7000e3, 0.15, 180.0, 2170),
            (6800e3, 0.08, 120.0, 3310),
        ):
            with self.subTest(a=a, e=e, f=f):
                changes = {"semi_major_axis_m": a, "eccentricity": e, "true_anomaly_deg": f}
                run = self.run_scenario({**LEO, **changes})
                rows = run.trajectory()
                radii = np.linalg.norm(rows[:, 1:4], axis=1) / 1e3
                first = int(np.argmax(radii < 6371))
                self.assertEqual(rows[first, 0], seconds)
                if seconds == 3980:
                    self.assertAlmostEqual(radii[first], 6362.460, delta=1e-3)

    def test_pacing_changes_no_number(self) -> None:
        short = {**LEO, "duration_orbits": 0.02}
        plain = self.run_scenario(short)
        paced = self.run_scenario(short, LYNX_PACE_SECONDS_PER_STEP="0.05")
        self.assertEqual(plain.trajectory().tolist(), paced.trajectory().tolist())
        # 12 samples of 0.05 s each; the sleeps are a lower bound, whatever the machine.
        self.assertGreaterEqual(paced.summary()["execution_time_seconds"], 0.55)

    def test_a_configuration_that_makes_no_sense_is_one_sentence(self) -> None:
        run = self.run_scenario({**LEO, "eccentricity": 1.0})
        self.assertEqual(run.done.returncode, 2)
        self.assertEqual(
            run.done.stderr, "error: the parameter eccentricity is 1.0; it must be below 1\n"
        )
        self.assertFalse(run.output.exists())


class SharedInterpreter(unittest.TestCase):
    """What the fork server does about Basilisk, to Basilisk."""

    def test_recorders_know_their_source_without_another_look(self) -> None:
        from Basilisk.architecture import messaging
        from Basilisk.simulation import spacecraft
        from Basilisk.utilities import SimulationBaseClass

        from lynx_sdk import _basilisk

        look = SimulationBaseClass._ensureRecorderSourceHooks
        self.addCleanup(setattr, SimulationBaseClass, "_ensureRecorderSourceHooks", look)
        looks = unittest.mock.Mock(wraps=look)
        SimulationBaseClass._ensureRecorderSourceHooks = looks
        _basilisk.look_once()
        SimulationBaseClass.SimBaseClass()
        message = spacecraft.Spacecraft().scStateOutMsg
        self.assertIs(message.recorder()._bskRecordedMessage, message)
        self.assertEqual(looks.call_count, 1)
        messaging.a_class_of_somebody = 1
        self.addCleanup(delattr, messaging, "a_class_of_somebody")
        SimulationBaseClass.SimBaseClass()
        self.assertEqual(looks.call_count, 2)

    def test_messages_are_not_told_of_the_end(self) -> None:
        # In a process of its own, which is not torn down afterwards.
        program = """
import atexit, os, sys
from Basilisk.architecture import messaging
from lynx_sdk import _basilisk
module = sys.modules["Basilisk.architecture.messaging.AttRefMsgPayload"]
module._AttRefMsgPayload._bsk_mark_python_shutting_down = lambda: print("told")
if sys.argv[1] == "spared":
    _basilisk.leave_unmarked()
atexit._run_exitfuncs()
sys.stdout.flush()
os._exit(0)
"""
        for how, said in {"as it is": "told\n", "spared": ""}.items():
            done = subprocess.run(
                [sys.executable, "-c", program, how], capture_output=True, text=True, check=True
            )
            self.assertEqual(done.stdout, said, how)


class OneScene(unittest.TestCase):
    """overlay_orbits.py; here because it needs the image's matplotlib."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.batch = Path(directory.name)

    def attempt(self, run: int, number: int, radius: float) -> None:
        """A circular arc around the z axis as a run's trajectory."""
        attempt = self.batch / f"{run:05d}" / f"attempt-{number}"
        (attempt / "output").mkdir(parents=True)
        (attempt / "run_config.json").write_text(
            json.dumps({"parameters": {"semi_major_axis_m": radius}})
        )
        lines = [",".join(scenario.HEADER)]
        for k in range(100):
            x, y = radius * math.cos(k / 20), radius * math.sin(k / 20)
            lines.append(f"{10.0 * k},{x},{y},0.0,0.0,0.0,0.0")
        (attempt / "output/trajectory.csv").write_text("\n".join(lines) + "\n")

    def overlay(self) -> subprocess.CompletedProcess[str]:
        program = SCENARIO.with_name("overlay_orbits.py")
        return subprocess.run(
            [sys.executable, program, self.batch], capture_output=True, text=True, check=False
        )

    def test_the_newest_attempt_of_each_run_is_drawn(self) -> None:
        self.attempt(0, 1, 6900e3)
        for number in (2, 10):
            self.attempt(1, number, 7000e3 + number)
        (self.batch / "00002/attempt-1/output").mkdir(parents=True)
        (self.batch / "notes").mkdir()
        runs, total = overlay_orbits.read_batch(self.batch)
        self.assertEqual(total, 3)
        axes = [run.parameters["semi_major_axis_m"] for run in runs]
        self.assertEqual(axes, [6900e3, 7000e3 + 10])
        np.testing.assert_allclose(np.linalg.norm(runs[0].position, axis=1), 6900)
        done = self.overlay()
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, f"{self.batch}/orbits.png\n")
        self.assertEqual((self.batch / "orbits.png").read_bytes()[:8], b"\x89PNG\r\n\x1a\n")

    def test_a_batch_without_trajectories_is_an_error(self) -> None:
        done = self.overlay()
        self.assertEqual(done.returncode, 1)
        self.assertIn("left a trajectory.csv", done.stderr)

    def test_the_earth_hides_what_is_behind_it(self) -> None:
        view = overlay_orbits.view_from(azimuth_deg=0, elevation_deg=0)
        np.testing.assert_allclose(view @ view.T, np.eye(3), atol=1e-15)
        # Along the x axis: in front, behind, and behind but beside the disc.
        points = np.array([[7000.0, 0, 0], [-7000.0, 0, 0], [-1000.0, 7000.0, 0]])
        front, back = overlay_orbits.split_by_visibility(points @ view.T)
        self.assertEqual(np.isnan(front[:, 0]).tolist(), [False, True, False])
        self.assertEqual(np.isnan(back[:, 0]).tolist(), [True, False, True])


if __name__ == "__main__":
    unittest.main()
