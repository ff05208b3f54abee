#!/usr/bin/env python3
"""Basilisk's basic orbit as a Monte Carlo scenario: a satellite around a point-mass Earth.

Integrates the orbit that the run configuration describes with Basilisk's RK4 at 10 s,
reports telemetry at every step, and leaves three artifacts:

- ``trajectory.csv``: time, position and velocity (inertial, SI), one row per 10 s;
- ``orbit_position.png``: the position's components against time in orbital periods;
- ``summary.json``: the final state, and how far the run is from Kepler's solution.

It needs nothing but ``TETRYX_RUN_CONFIG`` and ``TETRYX_OUTPUT_DIR``;
``TETRYX_TELEMETRY_URL`` is optional. By hand::

    echo '{"parameters": {"semi_major_axis_m": 7e6, "eccentricity": 1e-4,
      "inclination_deg": 33.3, "raan_deg": 48.2, "arg_perigee_deg": 347.8,
      "true_anomaly_deg": 85.3, "duration_orbits": 0.75}}' > run.json
    TETRYX_RUN_CONFIG=run.json TETRYX_OUTPUT_DIR=out python scenario_basic_orbit_lynx.py

The physics of a run takes some 50 ms. To watch one live, or to see one being
stopped, slow it down: ``--pace 0.01``, or ``LYNX_PACE_SECONDS_PER_STEP=0.01``, or
a constant parameter ``pace_seconds_per_step`` in the study, sleeps so many seconds
of real time at each step. Pacing changes no number.

Exit status: 0 success; 1 the simulation failed; 2 the configuration is unusable.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

import two_body
from lynx_sdk import ConfigError, RunConfig, Telemetry, output_dir, write_csv, write_json
from two_body import Elements, Vector

STEP_SECONDS = 10
# Basilisk's point-mass Earth (gravBodyFactory.createEarth).
EARTH_MU = 3.98600436e14  # m^3/s^2
EARTH_RADIUS = 6378.1366e3  # m, equatorial
UNITS = {
    "orbit.radius_km": "km",
    "orbit.altitude_km": "km",
    "orbit.speed_km_s": "km/s",
    "orbit.position_x_km": "km",
    "orbit.position_y_km": "km",
    "orbit.position_z_km": "km",
}
HEADER = ("time_s", "x_m", "y_m", "z_m", "vx_m_s", "vy_m_s", "vz_m_s")


@dataclass(frozen=True)
class Plan:
    """What to simulate."""

    elements: Elements
    steps: int
    pace_seconds: float = 0.0


@dataclass(frozen=True)
class Trajectory:
    """States at each step: times (n), positions and velocities (n, 3), SI units."""

    times: npt.NDArray[np.float64]
    positions: npt.NDArray[np.float64]
    velocities: npt.NDArray[np.float64]


class SimulationFailed(RuntimeError):  # noqa: N818 - named as what it says
    """The simulation gave numbers that cannot be right."""


def plan_from(config: RunConfig, pace_seconds: float | None = None) -> Plan:
    """Check the run's parameters and work out the number of steps.

    The duration is rounded down to whole steps. Raises ConfigError.
    """

    def angle(name: str, **bounds: float) -> float:
        return math.radians(config.number(name, unit="deg", **bounds))

    elements = Elements(
        semi_major_axis=config.number("semi_major_axis_m", unit="m", above=0),
        eccentricity=config.number("eccentricity", at_least=0, below=1),
        inclination=angle("inclination_deg", at_least=0, at_most=180),
        raan=angle("raan_deg"),
        arg_perigee=angle("arg_perigee_deg"),
        true_anomaly=angle("true_anomaly_deg"),
    )
    orbits = config.number("duration_orbits", unit="orbits", above=0, at_most=10_000)
    steps = math.floor(orbits * elements.period(EARTH_MU) / STEP_SECONDS)
    if steps < 1:
        raise ConfigError(
            f"the parameter duration_orbits is {orbits!r}: a run must last {STEP_SECONDS} s or more"
        )
    if pace_seconds is None:
        pace_seconds = config.number("pace_seconds_per_step", default=0.0, at_least=0)
    return Plan(elements, steps, pace_seconds)


def simulate(plan: Plan) -> Iterator[tuple[float, Vector, Vector]]:
    """Run Basilisk and yield time, position and velocity at each step, from time 0."""
    # Imported late: a bad configuration is told at once, without a second of imports.
    from Basilisk.simulation import spacecraft
    from Basilisk.utilities import SimulationBaseClass, macros, simIncludeGravBody

    step = macros.sec2nano(STEP_SECONDS)
    simulation = SimulationBaseClass.SimBaseClass()
    process = simulation.CreateNewProcess("dynamics")
    process.addTask(simulation.CreateNewTask("dynamics", step))
    satellite = spacecraft.Spacecraft()
    satellite.ModelTag = "satellite"
    simulation.AddModelToTask("dynamics", satellite)
    gravity = simIncludeGravBody.gravBodyFactory()
    earth = gravity.createEarth()
    earth.isCentralBody = True
    gravity.addBodiesTo(satellite)
    if not math.isclose(earth.mu, EARTH_MU, rel_tol=1e-14):
        raise SimulationFailed(f"Basilisk's Earth has mu {earth.mu!r}, not {EARTH_MU!r}")

    satellite.hub.r_CN_NInit, satellite.hub.v_CN_NInit = initial_state(plan.elements)
    simulation.InitializeSimulation()
    for k in range(plan.steps + 1):
        # ExecuteSimulation without what it does for events and a progress bar, of
        # which there are none here; that takes longer than the step itself.
        simulation.TotalSim.StepUntilStop(k * step, -1)
        # read() is cheap; a recorder would copy its whole history each time.
        state = satellite.scStateOutMsg.read()
        yield float(k * STEP_SECONDS), np.array(state.r_BN_N), np.array(state.v_BN_N)


def initial_state(elements: Elements) -> tuple[list[float], list[float]]:
    """Return position and velocity at the start, by Basilisk's own conversion."""
    from Basilisk.utilities import orbitalMotion

    oe = orbitalMotion.ClassicElements()
    oe.a, oe.e, oe.i = elements.semi_major_axis, elements.eccentricity, elements.inclination
    oe.Omega, oe.omega, oe.f = elements.raan, elements.arg_perigee, elements.true_anomaly
    position, velocity = orbitalMotion.elem2rv(EARTH_MU, oe)
    return list(position), list(velocity)


def record(
    states: Iterator[tuple[float, Vector, Vector]], telemetry: Telemetry, pace_seconds: float
) -> Trajectory:
    """Collect the states, reporting each. Raises SimulationFailed for one that is not finite."""
    rows: list[tuple[float, Vector, Vector]] = []
    for seconds, position, velocity in states:
        if not rows:
            start = time.monotonic()  # not before the imports, which would be caught up with
        # A sum of squares is finite where each of them is.
        if not math.isfinite(position @ position + velocity @ velocity):
            raise SimulationFailed(f"the state at {seconds:g} s is not finite")
        rows.append((seconds, position, velocity))
        telemetry.emit(seconds, sample(position, velocity))
        if pace_seconds > 0:
            time.sleep(max(0.0, start + len(rows) * pace_seconds - time.monotonic()))
    times, positions, velocities = zip(*rows, strict=True)
    return Trajectory(np.array(times), np.array(positions), np.array(velocities))


def sample(position: Vector, velocity: Vector) -> dict[str, float]:
    """Return the telemetry of one state, in the units of UNITS."""
    x, y, z = position.tolist()
    radius = math.sqrt(x * x + y * y + z * z)
    return {
        "orbit.radius_km": radius / 1e3,
        "orbit.altitude_km": (radius - EARTH_RADIUS) / 1e3,
        "orbit.speed_km_s": math.sqrt(float(velocity @ velocity)) / 1e3,
        "orbit.position_x_km": x / 1e3,
        "orbit.position_y_km": y / 1e3,
        "orbit.position_z_km": z / 1e3,
    }


def summarise(plan: Plan, trajectory: Trajectory, execution_seconds: float) -> dict[str, object]:
    """Return summary.json: every number in it becomes a metric of the run."""
    position, velocity = trajectory.positions[-1], trajectory.velocities[-1]
    radii = np.linalg.norm(trajectory.positions, axis=1)
    now = sample(position, velocity)
    return {
        "success": True,
        "sample_count": len(trajectory.times),
        "execution_time_seconds": execution_seconds,
        "duration_seconds": float(trajectory.times[-1]),
        "orbital_period_seconds": plan.elements.period(EARTH_MU),
        "final_radius_km": now["orbit.radius_km"],
        "final_altitude_km": now["orbit.altitude_km"],
        "final_speed_km_s": now["orbit.speed_km_s"],
        "minimum_radius_km": float(radii.min()) / 1e3,
        "maximum_radius_km": float(radii.max()) / 1e3,
        "final_position_m": dict(zip("xyz", position.tolist(), strict=True)),
        "final_velocity_m_s": dict(zip("xyz", velocity.tolist(), strict=True)),
        "check": deviations(plan.elements, trajectory),
    }


def deviations(elements: Elements, trajectory: Trajectory) -> dict[str, float]:
    """Return how far the run is from the closed solution: integration error alone.

    The position error is that of the last state; the others are the worst of all
    states, against the first.
    """
    positions, velocities = trajectory.positions, trajectory.velocities
    analytic, _ = two_body.state_at(elements, EARTH_MU, float(trajectory.times[-1]))
    radii = np.linalg.norm(positions, axis=1)
    energies = np.sum(velocities**2, axis=1) / 2 - EARTH_MU / radii
    momenta = np.cross(positions, velocities)
    turn = np.linalg.norm(momenta - momenta[0], axis=1) / np.linalg.norm(momenta[0])
    return {
        "position_error_m": float(np.linalg.norm(positions[-1] - analytic)),
        "relative_energy_drift": float(np.abs(energies / energies[0] - 1).max()),
        "relative_momentum_drift": float(turn.max()),
        "semi_major_axis_error_m": float(
            np.abs(-EARTH_MU / (2 * energies) - elements.semi_major_axis).max()
        ),
    }


def plot(path: Path, elements: Elements, trajectory: Trajectory) -> None:
    """Draw the position's components against time, the same bytes for the same run."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    # Everything has its place: to have a layout worked out, or names set as
    # formulas, takes longer than to draw the rest. Of that, ticks are the most.
    figure = Figure(figsize=(8, 4.5), dpi=100, layout="none")
    axes = figure.add_axes((0.105, 0.12, 0.84, 0.8))
    axes.locator_params(nbins=5)
    periods = trajectory.times / elements.period(EARTH_MU)
    for component, name in enumerate("xyz"):
        axes.plot(periods, trajectory.positions[:, component] / 1e3, color=f"C{component}")
        axes.text(
            1.015, 0.95 - 0.06 * component, name, color=f"C{component}", transform=axes.transAxes
        )
    axes.set_xlabel("time [orbital periods]")
    axes.set_ylabel("inertial position [km]")
    axes.set_title(
        f"a = {elements.semi_major_axis / 1e3:.1f} km, e = {elements.eccentricity:.5f}, "
        f"i = {math.degrees(elements.inclination):.2f}°",
        fontsize="medium",
        y=1.0,
    )
    axes.set_xlim(0, periods[-1])
    axes.grid(alpha=0.3)
    # Without metadata the file has neither a date nor a version in it.
    figure.savefig(path, metadata={"Software": None}, pil_kwargs={"compress_level": 1})


def run(pace_seconds: float | None) -> None:
    """Simulate what the environment asks for and leave the artifacts."""
    config = RunConfig.load()
    plan = plan_from(config, pace_seconds)
    directory = output_dir()
    begin = time.monotonic()
    with Telemetry.from_env(attempt_id=config.attempt_id, units=UNITS) as telemetry:
        trajectory = record(simulate(plan), telemetry, plan.pace_seconds)
    rows = np.column_stack((trajectory.times, trajectory.positions, trajectory.velocities))
    write_csv("trajectory.csv", HEADER, rows.tolist())
    plot(directory / "orbit_position.png", plan.elements, trajectory)
    # Last, so that a summary means that everything else is there.
    write_json("summary.json", summarise(plan, trajectory, time.monotonic() - begin))


def pace_from(argument: str | None) -> float | None:
    """Return the pace of the command line, else of the environment, else None."""
    text = argument or os.environ.get("LYNX_PACE_SECONDS_PER_STEP")
    if not text:
        return None
    try:
        pace = float(text)
    except ValueError:
        pace = math.nan
    if not (math.isfinite(pace) and pace >= 0):
        raise ConfigError(f"the pace is {text!r}; it must be seconds per step, such as 0.01")
    return pace


def main() -> int:
    """Run the scenario; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pace", metavar="SECONDS", help="real time to spend on each step")
    arguments = parser.parse_args()
    try:
        run(pace_from(arguments.pace))
    except ConfigError as err:
        print(f"error: {err}", file=sys.stderr)
        return 2
    except SimulationFailed as err:
        print(f"error: {err}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
