import json
import random
from pathlib import Path

import numpy as np
import pytest

from lynx_sdk import ConfigError, RunConfig

DOCUMENT = {
    "batch_id": "b",
    "job_id": "j",
    "run_id": "17",
    "run_index": 17,
    "attempt": 2,
    "seed": 2**53 - 1,
    "simulation": {
        "type": "basilisk",
        "name": "n",
        "version": "1.0.0",
        "duration_minutes": 10,
    },
    "parameters": {"mass_kg": 6991822.4, "count": 3, "mode": "fast", "huge": 10**400},
    "units": {"mass_kg": "kg", "count": "none"},
}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "run_config.json"
    path.write_text(json.dumps(DOCUMENT))
    monkeypatch.setenv("TETRYX_RUN_CONFIG", str(path))
    return path


@pytest.mark.usefixtures("path")
def test_everything_in_the_file_is_there() -> None:
    config = RunConfig.load()
    assert config.parameters == DOCUMENT["parameters"]
    assert config.units == DOCUMENT["units"]
    assert (config.batch_id, config.job_id, config.run_id) == ("b", "j", "17")
    assert (config.run_index, config.attempt, config.seed) == (17, 2, 2**53 - 1)
    assert config.attempt_id == "j-2"
    assert config.simulation.type == "basilisk"
    assert config.simulation.duration_minutes == 10.0


def test_a_file_for_a_run_by_hand_needs_only_parameters(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"parameters": {"x": 1}}')
    config = RunConfig.load(tmp_path / "c.json")
    assert config.number("x") == 1.0
    assert (config.attempt_id, config.seed, config.run_index) == ("", None, 0)


def draws() -> list[float]:
    return [random.random(), float(np.random.random()), float(np.random.normal())]


@pytest.mark.usefixtures("path")
def test_the_seed_decides_what_random_and_numpy_draw(tmp_path: Path) -> None:
    RunConfig.load()
    first = draws()
    RunConfig.load()
    assert draws() == first
    RunConfig.load(seed=False)
    assert draws() != first
    # The high word of the seed counts too.
    (tmp_path / "other.json").write_text(json.dumps(DOCUMENT | {"seed": 2**32 - 1}))
    RunConfig.load(tmp_path / "other.json")
    assert all(a != b for a, b in zip(draws(), first, strict=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "must be a JSON object, not []"),
        ("{}", "no object named parameters"),
        ('{"parameters": [1]}', "parameters must be a JSON object, not [1]"),
        ('{"parameters": {"x": NaN}}', "NaN, which is not a finite number"),
        ('{"parameters": {"x": -Infinity}}', "-Infinity, which is not a finite number"),
        ('{"parameters": {}, "seed": 1.5}', "seed must be a whole number"),
        ('{"parameters": {}, "seed": -1}', "seed must be a whole number"),
        ('{"parameters": {}, "attempt": true}', "attempt must be a whole number"),
        ('{"parameters": {}, "simulation": 3}', "simulation must be a JSON object"),
    ],
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        RunConfig.load(path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_variable_or_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="TETRYX_RUN_CONFIG is not set"):
        RunConfig.load()
    monkeypatch.setenv("TETRYX_RUN_CONFIG", "/nowhere/config.json")
    with pytest.raises(ConfigError, match=r"/nowhere/config\.json cannot be read"):
        RunConfig.load()


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(
    ("name", "rules", "message"),
    [
        ("mass", {}, "the parameter mass is missing (there is mass_kg: is that a misspelling?)"),
        ("zzz", {}, "the parameter zzz is missing (there are: count, huge, mass_kg, mode)"),
        ("mode", {}, 'the parameter mode must be a number, not "fast"'),
        ("huge", {}, "the parameter huge must be finite"),
        ("count", {"above": 3}, "the parameter count is 3.0; it must be above 3"),
        ("count", {"at_least": 4}, "the parameter count is 3.0; it must be at least 4"),
        ("count", {"below": 3}, "the parameter count is 3.0; it must be below 3"),
        ("count", {"at_most": 2.5}, "the parameter count is 3.0; it must be at most 2.5"),
        ("count", {"at_most": 2, "unit": "m"}, "is 3.0 m; it must be at most 2 m"),
        ("mass_kg", {"unit": "g"}, "mass_kg is in kg in the study, but is needed in g"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(
    name: str,
    rules: dict[str, float],
    message: str,
) -> None:
    with pytest.raises(ConfigError) as error:
        RunConfig.load().number(name, **rules)  # type: ignore[arg-type]
    assert message in str(error.value)


@pytest.mark.usefixtures("path")
def test_bounds_and_defaults() -> None:
    config = RunConfig.load()
    assert config.number("count", at_least=3, at_most=3, above=2, below=4) == 3.0
    assert config.number("mass_kg", unit="kg") == 6991822.4
    assert config.number("absent", default=1.5) == 1.5
    assert isinstance(config.number("count"), float)


@pytest.mark.usefixtures("path")
def test_the_configuration_cannot_be_changed() -> None:
    config = RunConfig.load()
    with pytest.raises(TypeError):
        config.parameters["mass_kg"] = 1  # type: ignore[index]
