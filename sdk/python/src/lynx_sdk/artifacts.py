"""Files that a run leaves: what is in ``TETRYX_OUTPUT_DIR`` at exit is kept.

Each file appears whole or not at all, so that a run that is stopped halfway
leaves nothing that looks like a result.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

from lynx_sdk.config import ConfigError


def output_dir() -> Path:
    """Return the directory for this run's files, making it if it is missing.

    Raises ConfigError where ``TETRYX_OUTPUT_DIR`` is not set.
    """
    name = os.environ.get("TETRYX_OUTPUT_DIR")
    if not name:
        raise ConfigError(
            "TETRYX_OUTPUT_DIR is not set: it names the directory for this run's files"
        )
    path = Path(name)
    path.mkdir(parents=True, exist_ok=True)
    return path


def write_json(name: str, document: object) -> Path:
    """Write ``document`` as JSON to the output directory, atomically.

    Numbers keep full double precision; numpy's scalars and arrays are converted.
    NaN and infinity have no place in JSON and raise ValueError. In
    ``summary.json`` every finite number and boolean becomes a metric of the run.
    """
    text = json.dumps(document, indent=2, allow_nan=False, default=_convert)
    return _write(name, lambda file: file.write(text + "\n"))


def write_csv(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write rows under a header as CSV to the output directory, atomically.

    Floats are written with the fewest digits that read back as the same double.
    """
    as_text = float.__repr__

    def write(file: TextIO) -> None:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            if len(row) != len(header):
                raise ValueError(f"{name}: a row has {len(row)} values, the header {len(header)}")
            # Not repr: a numpy float, which is a float too, names its type there.
            writer.writerow([as_text(v) if isinstance(v, float) else v for v in row])

    return _write(name, write)


def _convert(value: Any) -> Any:  # noqa: ANN401 - whatever json cannot write
    convert = getattr(value, "tolist", None)
    if convert is None:
        raise TypeError(f"{type(value).__name__} cannot be written as JSON")
    return convert()


def _write(name: str, write: Callable[[TextIO], object]) -> Path:
    relative = Path(name)
    if relative.is_absolute() or ".." in relative.parts or not relative.name:
        raise ValueError(f"{name!r} is not a name inside the output directory")
    path = output_dir() / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123
            write(file)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
