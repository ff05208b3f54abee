#!/usr/bin/env python3
"""Overlays the orbits of all runs of a batch in one picture.

    python overlay_orbits.py BATCH_DIRECTORY [--output FILE]

Reads ``<run>/attempt-<n>/output/trajectory.csv`` and ``run_config.json`` beside it,
of the newest attempt of each run, as lynx-runner lays them out. Prints the picture's
path; exit status 1 if the batch has no trajectory.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

mpl.use("Agg")
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle

Array = npt.NDArray[np.float64]

EARTH_RADIUS_KM = 6378.1366
# More curves than this are a solid band: an even selection looks the same.
MAX_CURVES = 400
INK, OCEAN = "#22303c", ("#dcebf5", "#7fb0d3")


@dataclass(frozen=True)
class Run:
    """One run: minutes since the start (n), inertial position in km (n, 3), parameters."""

    minutes: Array
    position: Array
    parameters: dict[str, float]


def read_batch(batch: Path) -> tuple[list[Run], int]:
    """Read every run that left a trajectory; also return how many runs there are."""
    runs, total = [], 0
    for directory in sorted(p for p in batch.iterdir() if p.is_dir() and p.name.isdigit()):
        total += 1
        attempts = sorted(directory.glob("attempt-*"), key=lambda p: int(p.name.split("-")[1]))
        if attempts and (attempts[-1] / "output/trajectory.csv").is_file():
            runs.append(read_run(attempts[-1]))
    return runs, total


def read_run(attempt: Path) -> Run:
    """Read one attempt: trajectory.csv has seconds, metres and metres per second."""
    rows = np.loadtxt(attempt / "output/trajectory.csv", delimiter=",", skiprows=1, ndmin=2)
    config = json.loads((attempt / "run_config.json").read_text())
    return Run(rows[:, 0] / 60, rows[:, 1:4] / 1e3, config["parameters"])


def view_from(azimuth_deg: float, elevation_deg: float) -> Array:
    """Return the rotation whose rows are right, up and towards the viewer."""
    a, e = np.radians([azimuth_deg, elevation_deg])
    towards = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
    right = np.array([-np.sin(a), np.cos(a), 0.0])
    return np.array([right, np.cross(towards, right), towards])


def split_by_visibility(projected: Array) -> tuple[Array, Array]:
    """Return the curve in front of the Earth and behind it, each with gaps as NaN."""
    hidden = (projected[:, 2] < 0) & (np.hypot(*projected[:, :2].T) < EARTH_RADIUS_KM)
    front, back = projected.copy(), projected.copy()
    front[hidden] = np.nan
    back[~hidden] = np.nan
    return front, back


def draw_earth(axes: Axes, view: Array) -> None:
    """Draw a shaded disc with the equator, the tropics and meridians."""
    size = 400
    x, y = np.meshgrid(np.linspace(-1, 1, size), np.linspace(-1, 1, size))
    shade = np.clip(1 - np.hypot(x + 0.35, y - 0.35) / 1.5, 0, 1)
    disc = Circle((0, 0), EARTH_RADIUS_KM, facecolor="none", edgecolor=INK, linewidth=0.8)
    axes.add_patch(disc)
    image = axes.imshow(
        shade,
        extent=(-EARTH_RADIUS_KM, EARTH_RADIUS_KM, -EARTH_RADIUS_KM, EARTH_RADIUS_KM),
        origin="lower",
        cmap=LinearSegmentedColormap.from_list("ocean", OCEAN[::-1]),
        zorder=0,
    )
    image.set_clip_path(disc)
    turn = np.linspace(0, 2 * np.pi, 181)
    for latitude in np.radians([-60, -30, 0, 30, 60]):
        ring = np.array(
            [
                np.cos(latitude) * np.cos(turn),
                np.cos(latitude) * np.sin(turn),
                np.full_like(turn, np.sin(latitude)),
            ]
        )
        draw_graticule(axes, view, ring, 1.0 if latitude == 0 else 0.5)
    for longitude in np.radians(np.arange(0, 180, 30)):
        ring = np.array(
            [
                np.cos(turn) * np.cos(longitude),
                np.cos(turn) * np.sin(longitude),
                np.sin(turn),
            ]
        )
        draw_graticule(axes, view, ring, 0.5)


def draw_graticule(axes: Axes, view: Array, ring: Array, width: float) -> None:
    """Draw the near side of a circle on the Earth."""
    x, y, depth = EARTH_RADIUS_KM * (view @ ring)
    near = depth >= 0
    axes.plot(
        np.where(near, x, np.nan),
        np.where(near, y, np.nan),
        color="white",
        linewidth=width,
        alpha=0.8,
    )


def draw_orbits(axes: Axes, runs: list[Run], colours: list[tuple[float, ...]]) -> None:
    """Draw the Earth and the orbits, seen from the side that most of them pass."""
    middle = np.mean([run.position[len(run.position) // 2] for run in runs], axis=0)
    view = view_from(np.degrees(np.arctan2(middle[1], middle[0])) - 35, 25)
    draw_earth(axes, view)
    alpha = max(0.15, min(0.9, 8 / len(runs)))
    for run, colour in zip(runs, colours, strict=True):
        projected = run.position @ view.T
        front, back = split_by_visibility(projected)
        axes.plot(back[:, 0], back[:, 1], color=colour, linewidth=0.7, alpha=alpha / 3)
        axes.plot(front[:, 0], front[:, 1], color=colour, linewidth=1.1, alpha=alpha)
        for at, marker, size in ((0, "o", 3.0), (-1, "D", 3.5)):
            if not np.isnan(front[at, 0]):
                axes.plot(
                    *front[at, :2],
                    marker,
                    color=colour,
                    markersize=size,
                    mec=INK,
                    mew=0.4,
                    zorder=4,
                )
    reach = 1.08 * max(np.abs(run.position @ view.T).max() for run in runs)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axes.set_title("inertial frame (○ start, ◇ end)", fontsize="medium", color=INK)
    axes.axis("off")


def draw_altitudes(axes: Axes, runs: list[Run], colours: list[tuple[float, ...]]) -> None:
    """Draw altitude above the equatorial radius against time."""
    alpha = max(0.2, min(0.9, 12 / len(runs)))
    for run, colour in zip(runs, colours, strict=True):
        altitude = np.linalg.norm(run.position, axis=1) - EARTH_RADIUS_KM
        axes.plot(run.minutes, altitude, color=colour, linewidth=1.1, alpha=alpha)
        axes.plot(
            run.minutes[-1], altitude[-1], "D", color=colour, markersize=3.5, mec=INK, mew=0.4
        )
    axes.set_xlabel("time [min]")
    axes.set_ylabel("altitude [km]")
    axes.set_xlim(left=0)
    axes.set_title("altitude", fontsize="medium", color=INK)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def overlay(runs: list[Run], total: int, path: Path) -> None:
    """Draw the picture. Colour is the semi-major axis, where runs have one."""
    chosen = [runs[i] for i in np.unique(np.linspace(0, len(runs) - 1, MAX_CURVES).astype(int))]
    axis = [run.parameters.get("semi_major_axis_m", np.nan) / 1e3 for run in chosen]
    norm = Normalize(np.nanmin(axis), np.nanmax(axis)) if np.isfinite(axis).any() else Normalize()
    scale = ScalarMappable(norm, "viridis")
    colours = [tuple(scale.to_rgba(value)) for value in axis]

    figure = Figure(figsize=(13, 6.2), dpi=130, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    draw_orbits(left, chosen, colours)
    draw_altitudes(right, chosen, colours)
    if np.isfinite(axis).any():
        figure.colorbar(scale, ax=right, label="semi-major axis [km]", pad=0.02)
    shown = "" if len(chosen) == len(runs) else f", {len(chosen)} of them drawn"
    missing = "" if len(runs) == total else f"; {total - len(runs)} left no trajectory"
    figure.suptitle(f"Orbits of {len(runs)} runs{shown}{missing}", fontsize="x-large", color=INK)
    figure.savefig(path, metadata={"Software": None})


def main() -> int:
    """Run the program; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("batch", type=Path, help="a batch's directory below the output root")
    parser.add_argument("--output", type=Path, help="the picture (default: BATCH/orbits.png)")
    arguments = parser.parse_args()
    if not arguments.batch.is_dir():
        print(f"error: {arguments.batch} is not a directory", file=sys.stderr)
        return 1
    runs, total = read_batch(arguments.batch)
    if not runs:
        print(f"error: no run of {arguments.batch} left a trajectory.csv", file=sys.stderr)
        return 1
    path = arguments.output or arguments.batch / "orbits.png"
    overlay(runs, total, path)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
