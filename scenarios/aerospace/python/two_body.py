"""The two-body problem in closed form: what the simulation is checked against.

SI units and an inertial frame throughout; vectors are numpy arrays of three.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Elements:
    """Classical elements of an elliptic orbit, metres and radians."""

    semi_major_axis: float
    eccentricity: float
    inclination: float
    raan: float
    arg_perigee: float
    true_anomaly: float

    def period(self, mu: float) -> float:
        """Return the orbital period in seconds (Kepler's third law)."""
        return 2 * math.pi * math.sqrt(self.semi_major_axis**3 / mu)


def eccentric_anomaly(mean_anomaly: float, eccentricity: float) -> float:
    """Solve Kepler's equation M = E - e sin E for E, all in radians.

    Newton's method from E = M + e sin M (Vallado, Fundamentals of Astrodynamics,
    algorithm 2), on the angle reduced to [-pi, pi], where it converges for every
    eccentricity below 1.
    """
    turns = round(mean_anomaly / (2 * math.pi))
    m = mean_anomaly - 2 * math.pi * turns
    # Starting at the end of the interval cannot overshoot for nearly parabolic orbits.
    e = m + eccentricity * math.sin(m) if eccentricity < 0.8 else math.copysign(math.pi, m)
    for _ in range(50):
        step = (e - eccentricity * math.sin(e) - m) / (1 - eccentricity * math.cos(e))
        e -= step
        if abs(step) < 1e-15:
            break
    return e + 2 * math.pi * turns


def state_at(elements: Elements, mu: float, seconds: float) -> tuple[Vector, Vector]:
    """Return position and velocity so many seconds after the elements' epoch.

    Vallado, Fundamentals of Astrodynamics, algorithms 2 and 10.
    """
    e = elements.eccentricity
    half = elements.true_anomaly / 2
    e0 = 2 * math.atan2(
        math.sqrt(1 - e) * math.sin(half),
        math.sqrt(1 + e) * math.cos(half),
    )
    mean = e0 - e * math.sin(e0) + 2 * math.pi * seconds / elements.period(mu)
    ecc = eccentric_anomaly(mean, e)
    p = elements.semi_major_axis * (1 - e * e)
    radius = elements.semi_major_axis * (1 - e * math.cos(ecc))
    f = 2 * math.atan2(math.sqrt(1 + e) * math.sin(ecc / 2), math.sqrt(1 - e) * math.cos(ecc / 2))
    axes = _perifocal_axes(elements)
    position = axes @ np.array([radius * math.cos(f), radius * math.sin(f)])
    velocity = axes @ (math.sqrt(mu / p) * np.array([-math.sin(f), e + math.cos(f)]))
    return position, velocity


def _perifocal_axes(elements: Elements) -> npt.NDArray[np.float64]:
    """Return the unit vectors towards perigee and 90 degrees on, as columns."""
    co, so = math.cos(elements.raan), math.sin(elements.raan)
    cw, sw = math.cos(elements.arg_perigee), math.sin(elements.arg_perigee)
    ci, si = math.cos(elements.inclination), math.sin(elements.inclination)
    return np.array(
        [
            [co * cw - so * sw * ci, -co * sw - so * cw * ci],
            [so * cw + co * sw * ci, -so * sw + co * cw * ci],
            [sw * si, cw * si],
        ]
    )


def specific_energy(position: Vector, velocity: Vector, mu: float) -> float:
    """Return kinetic and potential energy per mass, J/kg."""
    return float(velocity @ velocity / 2 - mu / np.linalg.norm(position))


def angular_momentum(position: Vector, velocity: Vector) -> Vector:
    """Return the specific angular momentum, m^2/s."""
    return np.cross(position, velocity)


def semi_major_axis(position: Vector, velocity: Vector, mu: float) -> float:
    """Return the semi-major axis of the orbit that a state is on (vis-viva), m."""
    return -mu / (2 * specific_energy(position, velocity, mu))
