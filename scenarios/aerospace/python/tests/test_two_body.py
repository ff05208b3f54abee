import math

import numpy as np
import pytest

from two_body import (
    Elements,
    angular_momentum,
    eccentric_anomaly,
    semi_major_axis,
    specific_energy,
    state_at,
)

MU = 3.98600436e14
LEO = Elements(7000e3, 1e-4, *(math.radians(x) for x in (33.3, 48.2, 347.8, 85.3)))


def test_the_published_analytic_state() -> None:
    position, velocity = state_at(LEO, MU, 4370)
    np.testing.assert_allclose(
        position, (5736376.526134, 3849961.123629, -1123395.976123), rtol=0, atol=2e-6
    )
    np.testing.assert_allclose(
        velocity, (-3026.329596, 5665.262077, 3962.373534), rtol=0, atol=1e-6
    )
    assert LEO.period(MU) == pytest.approx(5828.51668, abs=1e-5)


@pytest.mark.parametrize("eccentricity", [0, 1e-8, 0.1, 0.5, 0.79, 0.8, 0.95, 0.999, 0.9999999])
@pytest.mark.parametrize("mean", [0, 1e-9, 0.01, 1, 3, math.pi, 3.2, 6, -2, 100, -1e4])
def test_keplers_equation_holds(mean: float, eccentricity: float) -> None:
    e = eccentric_anomaly(mean, eccentricity)
    assert e - eccentricity * math.sin(e) == pytest.approx(mean, abs=1e-12 * max(1, abs(mean)))


def random_elements(generator: np.random.Generator) -> Elements:
    return Elements(
        generator.uniform(6.5e6, 5e7),
        generator.uniform(0, 0.95),
        generator.uniform(0, math.pi),
        *generator.uniform(-7, 7, size=3),
    )


@pytest.mark.parametrize("seed", range(20))
def test_what_an_orbit_conserves(seed: int) -> None:
    generator = np.random.default_rng(seed)
    elements = random_elements(generator)
    period = elements.period(MU)
    r0, v0 = state_at(elements, MU, 0)
    for seconds in generator.uniform(-2, 3, size=5) * period:
        r, v = state_at(elements, MU, seconds)
        assert specific_energy(r, v, MU) == pytest.approx(specific_energy(r0, v0, MU), rel=1e-9)
        assert semi_major_axis(r, v, MU) == pytest.approx(elements.semi_major_axis, rel=1e-9)
        h, h0 = angular_momentum(r, v), angular_momentum(r0, v0)
        np.testing.assert_allclose(h, h0, rtol=0, atol=1e-9 * np.linalg.norm(h0))
        assert h[2] / np.linalg.norm(h) == pytest.approx(math.cos(elements.inclination))
        # One period later it is at the same place.
        again, _ = state_at(elements, MU, seconds + period)
        np.testing.assert_allclose(again, r, rtol=0, atol=1e-6 * elements.semi_major_axis)


@pytest.mark.parametrize("seed", range(20))
def test_it_solves_the_equation_of_motion(seed: int) -> None:
    """Central differences of position and velocity against v and -mu r / |r|^3."""
    generator = np.random.default_rng(100 + seed)
    elements = random_elements(generator)
    t, dt = generator.uniform(0, elements.period(MU)), 0.05
    r, v = state_at(elements, MU, t)
    before, after = state_at(elements, MU, t - dt), state_at(elements, MU, t + dt)
    np.testing.assert_allclose((after[0] - before[0]) / (2 * dt), v, rtol=0, atol=1e-3)
    acceleration = -MU * r / np.linalg.norm(r) ** 3
    np.testing.assert_allclose((after[1] - before[1]) / (2 * dt), acceleration, rtol=0, atol=1e-4)
