"""The run configuration: which run this is, its parameters and its seed."""

from __future__ import annotations

import difflib
import importlib.util
import json
import math
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

# How studies spell that a parameter has no unit.
_NO_UNIT = ("", "none", "1", "-")


class ConfigError(ValueError):
    """A run configuration that cannot be used; the message is one sentence for people."""


@dataclass(frozen=True)
class Simulation:
    """The study's ``simulation`` block."""

    type: str = ""
    name: str = ""
    version: str = ""
    duration_minutes: float | None = None


@dataclass(frozen=True)
class RunConfig:
    """One run of a study, as ``TETRYX_RUN_CONFIG`` describes it.

    Only ``parameters`` must be in the file, so that one for a run by hand is
    quickly written; everything else has a neutral default.
    """

    parameters: Mapping[str, Any]
    """Parameter name to value, straight from the study's dispersions."""
    units: Mapping[str, str] = field(default_factory=dict)
    """Parameter name to unit, as the study spells it."""
    batch_id: str = ""
    job_id: str = ""
    run_id: str = ""
    run_index: int = 0
    attempt: int = 1
    seed: int | None = None
    """This run's own seed, below 2**53; the same for every attempt of the run."""
    simulation: Simulation = field(default_factory=Simulation)

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None, *, seed: bool = True) -> RunConfig:
        """Read the run configuration at ``path``, by default ``TETRYX_RUN_CONFIG``.

        Unless ``seed`` is False, ``random`` and (where it is installed) numpy's
        global generator are seeded from the file's seed, so that a run draws the
        same numbers each time. Raises ConfigError.
        """
        if path is None:
            path = os.environ.get("TETRYX_RUN_CONFIG")
            if not path:
                raise ConfigError(
                    "TETRYX_RUN_CONFIG is not set: it names the file with this run's parameters"
                )
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as err:
            raise ConfigError(f"the run configuration {path} cannot be read: {err}") from err
        try:
            document = json.loads(text, parse_constant=_refuse_constant)
        except ConfigError as err:
            raise ConfigError(f"the run configuration {path} holds {err}") from None
        except ValueError as err:
            raise ConfigError(f"the run configuration {path} is not valid JSON: {err}") from err
        config = _from_document(document)
        if seed and config.seed is not None:
            _seed_generators(config.seed)
        return config

    @property
    def attempt_id(self) -> str:
        """The attempt's id, ``<job_id>-<attempt>``; empty in a run by hand."""
        return f"{self.job_id}-{self.attempt}" if self.job_id else ""

    def number(
        self,
        name: str,
        *,
        unit: str | None = None,
        default: float | None = None,
        above: float = -math.inf,
        at_least: float = -math.inf,
        below: float = math.inf,
        at_most: float = math.inf,
    ) -> float:
        """Return a parameter as a finite float within the given bounds.

        ``unit`` is what the caller works in: a study that declares another one is
        refused, not converted ("none", "1" and "-" count as not declared). Raises
        ConfigError with the parameter's name, its value and what would be right.
        """
        if name not in self.parameters:
            if default is not None:
                return default
            raise ConfigError(f"the parameter {name} is missing{self._hint(name)}")
        value = self.parameters[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"the parameter {name} must be a number, not {json.dumps(value)}")
        declared = self.units.get(name, "")
        if unit is not None and declared not in (unit, *_NO_UNIT):
            raise ConfigError(
                f"the parameter {name} is in {declared} in the study, but is needed in {unit}"
            )
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        suffix = f" {unit}" if unit else ""
        if not math.isfinite(number):
            raise ConfigError(f"the parameter {name} must be finite, not {value}")
        for holds, rule, bound in (
            (number > above, "above", above),
            (number >= at_least, "at least", at_least),
            (number < below, "below", below),
            (number <= at_most, "at most", at_most),
        ):
            if not holds:
                rule = f"{rule} {bound:g}{suffix}"
                raise ConfigError(f"the parameter {name} is {number!r}{suffix}; it must be {rule}")
        return number

    def _hint(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.parameters, n=1)
        if near:
            return f" (there is {near[0]}: is that a misspelling?)"
        return f" (there are: {', '.join(sorted(self.parameters)) or 'none'})"


def _from_document(document: Any) -> RunConfig:  # noqa: ANN401 - parsed JSON
    root = _mapping(document, "the run configuration")
    if "parameters" not in root:
        raise ConfigError("the run configuration has no object named parameters")
    simulation = _mapping(root.get("simulation", {}), "simulation")
    minutes = simulation.get("duration_minutes")
    seed = root.get("seed")
    return RunConfig(
        parameters=MappingProxyType(_mapping(root["parameters"], "parameters")),
        units=MappingProxyType(
            {
                str(name): str(unit)
                for name, unit in _mapping(root.get("units") or {}, "units").items()
            }
        ),
        batch_id=str(root.get("batch_id", "")),
        job_id=str(root.get("job_id", "")),
        run_id=str(root.get("run_id", "")),
        run_index=_integer(root.get("run_index", 0), "run_index"),
        attempt=_integer(root.get("attempt", 1), "attempt"),
        seed=None if seed is None else _integer(seed, "seed"),
        simulation=Simulation(
            type=str(simulation.get("type", "")),
            name=str(simulation.get("name", "")),
            version=str(simulation.get("version", "")),
            duration_minutes=float(minutes) if isinstance(minutes, int | float) else None,
        ),
    )


def _mapping(value: Any, name: str) -> dict[str, Any]:  # noqa: ANN401 - parsed JSON
    if not isinstance(value, dict):
        raise ConfigError(f"{name} must be a JSON object, not {json.dumps(value)}")
    return value


def _integer(value: Any, name: str) -> int:  # noqa: ANN401 - parsed JSON
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(
            f"{name} must be a whole number that is not negative, not {json.dumps(value)}"
        )
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ConfigError(f"{name}, which is not a finite number")


def _seed_generators(seed: int) -> None:
    random.seed(seed)
    if importlib.util.find_spec("numpy") is None:
        return
    import numpy as np

    # The legacy generator takes words of 32 bits.
    np.random.seed([seed & 0xFFFFFFFF, seed >> 32])
