#!/usr/bin/env python3
"""The tutorial by Basilisk's own Monte Carlo tool, as its documentation would have it.

    monte_carlo_controller.py DIRECTORY RUNS PROCESSES

The same orbit, integrated by the same steps, with the same dispersions as
``basic_orbit_tutorial.yaml``. A retention policy keeps what the tutorial's
``trajectory.csv`` has: time, position and velocity at each step. There is no picture,
no summary and no telemetry.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

from Basilisk.simulation import spacecraft
from Basilisk.utilities import SimulationBaseClass, macros, orbitalMotion, simIncludeGravBody
from Basilisk.utilities.MonteCarlo.Controller import Controller
from Basilisk.utilities.MonteCarlo.Dispersions import UniformDispersion
from Basilisk.utilities.MonteCarlo.RetentionPolicy import RetentionPolicy

STEP = macros.sec2nano(10)
DISPERSIONS = {
    "semi_major_axis_m": (6950000.0, 7050000.0),
    "eccentricity": (0.00005, 0.002),
    "inclination_deg": (30.0, 36.0),
    "raan_deg": (40.0, 55.0),
    "arg_perigee_deg": (330.0, 355.0),
    "true_anomaly_deg": (70.0, 100.0),
    "duration_orbits": (0.70, 0.80),
}


class Orbit(SimulationBaseClass.SimBaseClass):  # type: ignore[misc] # Basilisk has no types
    """A satellite around a point-mass Earth; the dispersions set the attributes."""

    def __init__(self) -> None:
        super().__init__()
        for name, (low, high) in DISPERSIONS.items():
            setattr(self, name, (low + high) / 2)
        self.CreateNewProcess("dynamics").addTask(self.CreateNewTask("dynamics", STEP))
        self.satellite = spacecraft.Spacecraft()
        self.satellite.ModelTag = "satellite"
        self.AddModelToTask("dynamics", self.satellite)
        self.gravity = simIncludeGravBody.gravBodyFactory()
        earth = self.gravity.createEarth()
        earth.isCentralBody = True
        self.mu = earth.mu
        self.gravity.addBodiesTo(self.satellite)
        self.msgRecList = {"states": self.satellite.scStateOutMsg.recorder()}
        self.AddModelToTask("dynamics", self.msgRecList["states"])


def execute(simulation: Any) -> None:  # noqa: ANN401 - see Orbit
    """Integrate, from the state that the dispersed elements give."""
    elements = orbitalMotion.ClassicElements()
    elements.a, elements.e = simulation.semi_major_axis_m, simulation.eccentricity
    elements.i = math.radians(simulation.inclination_deg)
    elements.Omega = math.radians(simulation.raan_deg)
    elements.omega = math.radians(simulation.arg_perigee_deg)
    elements.f = math.radians(simulation.true_anomaly_deg)
    hub = simulation.satellite.hub
    hub.r_CN_NInit, hub.v_CN_NInit = orbitalMotion.elem2rv(simulation.mu, elements)
    period = 2 * math.pi * math.sqrt(elements.a**3 / simulation.mu)
    simulation.InitializeSimulation()
    simulation.ConfigureStopTime(math.floor(simulation.duration_orbits * period / 10) * STEP)
    simulation.ExecuteSimulation()


def main() -> int:
    """Run all, and look at what was kept."""
    archive, runs, processes = Path(sys.argv[1]) / "archive", int(sys.argv[2]), int(sys.argv[3])
    controller = Controller()
    controller.setSimulationFunction(Orbit)
    controller.setExecutionFunction(execute)
    controller.setExecutionCount(runs)
    controller.setThreadCount(processes)
    controller.setShouldDisperseSeeds(True)
    controller.setShouldArchiveParameters(True)
    controller.setArchiveDir(str(archive))
    for name, bounds in DISPERSIONS.items():
        controller.addDispersion(UniformDispersion(name, bounds))
    policy = RetentionPolicy()
    policy.addMessageLog("states", ["r_BN_N", "v_BN_N"])
    controller.addRetentionPolicy(policy)
    failed = controller.executeSimulations()
    if failed:
        sys.exit(f"runs {failed} failed")
    ends = set()
    for run in range(runs):
        position = controller.getRetainedData(run)["messages"]["states.r_BN_N"]
        if not 390 < len(position) < 480:
            sys.exit(f"run {run} kept {len(position)} states")
        ends.add(tuple(position[-1]))
    if len(ends) != runs:
        sys.exit("runs are alike: the dispersions were not applied")
    return 0


if __name__ == "__main__":
    sys.exit(main())
