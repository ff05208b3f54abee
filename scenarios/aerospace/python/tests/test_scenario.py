"""The scenario's parts that need no Basilisk; known_answers.py has the rest."""

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import scenario_basic_orbit_lynx as scenario
from lynx_sdk import ConfigError, RunConfig, Telemetry
from scenario_basic_orbit_lynx import EARTH_MU, SimulationFailed, Trajectory
from two_body import state_at

NOMINAL = {
    "semi_major_axis_m": 7000e3,
    "eccentricity": 1e-4,
    "inclination_deg": 33.3,
    "raan_deg": 48.2,
    "arg_perigee_deg": 347.8,
    "true_anomaly_deg": 85.3,
    "duration_orbits": 0.75,
}


def config(**changes: object) -> RunConfig:
    parameters = {k: v for k, v in {**NOMINAL, **changes}.items() if v is not None}
    return RunConfig(parameters=parameters)


def test_the_plan_of_the_nominal_orbit() -> None:
    plan = scenario.plan_from(config())
    assert plan.steps == 437
    assert plan.pace_seconds == 0
    assert plan.elements.semi_major_axis == 7000e3
    assert plan.elements.inclination == math.radians(33.3)
    assert plan.elements.true_anomaly == math.radians(85.3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eccentricity": None}, "the parameter eccentricity is missing"),
        ({"eccentricity": 1.0}, "eccentricity is 1.0; it must be below 1"),
        ({"eccentricity": -0.1}, "eccentricity is -0.1; it must be at least 0"),
        ({"eccentricity": math.nan}, "eccentricity must be finite, not nan"),
        ({"semi_major_axis_m": 0}, "semi_major_axis_m is 0.0 m; it must be above 0 m"),
        ({"semi_major_axis_m": math.inf}, "semi_major_axis_m must be finite"),
        ({"semi_major_axis_m": "7e6"}, 'semi_major_axis_m must be a number, not "7e6"'),
        ({"inclination_deg": 181}, "inclination_deg is 181.0 deg; it must be at most 180 deg"),
        ({"raan_deg": True}, "raan_deg must be a number, not true"),
        ({"duration_orbits": 0}, "duration_orbits is 0.0 orbits; it must be above 0 orbits"),
        ({"duration_orbits": 1e-4}, "duration_orbits is 0.0001: a run must last 10 s or more"),
        ({"duration_orbits": 1e9}, "duration_orbits is 1000000000.0 orbits; it must be at most"),
        ({"pace_seconds_per_step": -1}, "pace_seconds_per_step is -1.0; it must be at least 0"),
    ],
)
def test_parameters_that_make_no_sense_are_named(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        scenario.plan_from(config(**changes))
    assert message in str(error.value)


def test_a_parameter_in_another_unit_is_refused() -> None:
    units = {"semi_major_axis_m": "km"}
    with pytest.raises(ConfigError, match="is in km in the study, but is needed in m"):
        scenario.plan_from(RunConfig(parameters=NOMINAL, units=units))


@pytest.mark.parametrize(
    ("argument", "variable", "parameter", "pace"),
    [
        (None, None, None, 0.0),
        (None, None, 0.3, 0.3),
        (None, "0.2", 0.3, 0.2),
        ("0.1", "0.2", 0.3, 0.1),
        (None, "", 0.3, 0.3),
        ("0", "0.2", 0.3, 0.0),
    ],
)
def test_the_pace_comes_from_the_nearest_place(
    monkeypatch: pytest.MonkeyPatch,
    argument: str | None,
    variable: str | None,
    parameter: float | None,
    pace: float,
) -> None:
    monkeypatch.delenv("LYNX_PACE_SECONDS_PER_STEP", raising=False)
    if variable is not None:
        monkeypatch.setenv("LYNX_PACE_SECONDS_PER_STEP", variable)
    chosen = scenario.pace_from(argument)
    assert scenario.plan_from(config(pace_seconds_per_step=parameter), chosen).pace_seconds == pace


@pytest.mark.parametrize("text", ["fast", "-1", "nan", "inf"])
def test_a_pace_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="it must be seconds per step"):
        scenario.pace_from(text)


def kepler(steps: int) -> tuple[scenario.Plan, Trajectory]:
    """A trajectory without any integration error."""
    plan = scenario.plan_from(config())
    times = np.arange(steps + 1) * 10.0
    states = [state_at(plan.elements, EARTH_MU, t) for t in times]
    return plan, Trajectory(
        times, np.array([r for r, _ in states]), np.array([v for _, v in states])
    )


def test_the_summary_of_an_exact_orbit_shows_no_deviation() -> None:
    plan, trajectory = kepler(437)
    summary = scenario.summarise(plan, trajectory, 1.5)
    assert summary["success"] is True
    assert summary["sample_count"] == 438
    assert summary["duration_seconds"] == 4370.0
    assert summary["execution_time_seconds"] == 1.5
    assert summary["final_radius_km"] == pytest.approx(6999.3024525, abs=1e-6)
    assert summary["final_altitude_km"] == pytest.approx(6999.3024525 - 6378.1366, abs=1e-6)
    check = summary["check"]
    assert check["position_error_m"] < 1e-6
    assert check["relative_energy_drift"] < 1e-13
    assert check["relative_momentum_drift"] < 1e-13
    assert check["semi_major_axis_error_m"] < 1e-5
    json.dumps(summary, allow_nan=False)


def test_the_summary_sees_what_is_wrong() -> None:
    plan, trajectory = kepler(437)
    trajectory.positions[-1, 0] += 0.06
    trajectory.velocities[200] *= 1 + 1e-6
    check = scenario.summarise(plan, trajectory, 1.0)["check"]
    assert check["position_error_m"] == pytest.approx(0.06, rel=1e-4)
    assert check["relative_energy_drift"] == pytest.approx(2e-6, rel=1e-2)
    assert check["relative_momentum_drift"] == pytest.approx(1e-6, rel=1e-2)
    assert check["semi_major_axis_error_m"] == pytest.approx(14, rel=1e-2)


def test_every_declared_variable_is_reported_and_no_other() -> None:
    values = scenario.sample(np.array([3000e3, 4000e3, 12000e3]), np.array([3e3, 0.0, 4e3]))
    assert values == {
        "orbit.radius_km": 13000.0,
        "orbit.altitude_km": pytest.approx(13000 - 6378.1366),
        "orbit.speed_km_s": 5.0,
        "orbit.position_x_km": 3000.0,
        "orbit.position_y_km": 4000.0,
        "orbit.position_z_km": 12000.0,
    }
    assert values.keys() == scenario.UNITS.keys()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_state_that_is_not_finite_ends_the_run(bad: float) -> None:
    good = np.array([7e6, 0.0, 0.0]), np.array([0.0, 7e3, 0.0])
    states = iter([(0.0, *good), (10.0, good[0], np.array([0.0, bad, 0.0]))])
    with pytest.raises(SimulationFailed, match="the state at 10 s is not finite"):
        scenario.record(states, Telemetry(None), 0.0)


def test_the_pace_counts_from_the_first_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that only sleeping and starting up move; start-up is not caught up with."""
    now = [100.0]
    monkeypatch.setattr(scenario.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(scenario.time, "sleep", lambda s: now.__setitem__(0, now[0] + s))
    seen = []

    def states() -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
        now[0] += 50.0
        for k in range(5):
            seen.append(now[0])
            yield 10.0 * k, np.ones(3), np.ones(3)

    scenario.record(states(), Telemetry(None), 0.5)
    assert seen == [150.0, 150.5, 151.0, 151.5, 152.0]


@pytest.mark.parametrize("failure", [ConfigError("bad parameter"), SimulationFailed("diverged")])
def test_failures_are_one_line_and_an_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failure: Exception
) -> None:
    def fail(_: float | None) -> None:
        raise failure

    monkeypatch.setattr(scenario, "run", fail)
    monkeypatch.setattr(sys, "argv", ["scenario"])
    assert scenario.main() == (2 if isinstance(failure, ConfigError) else 1)
    assert capsys.readouterr().err == f"error: {failure}\n"


def test_the_studies_use_the_scenarios_parameters() -> None:
    known = {*NOMINAL, "pace_seconds_per_step"}
    configs = Path(scenario.__file__).parents[1] / "configs"
    studies = sorted(configs.glob("*.yaml"))
    assert len(studies) == 4
    for study in studies:
        block = study.read_text().split("\ndispersions:\n")[1].split("\n\n")[0]
        names = {
            line.strip().rstrip(":")
            for line in block.splitlines()
            if line.startswith("  ") and line[2] not in " #"
        }
        assert names <= known, study.name
        assert names >= set(NOMINAL), study.name
