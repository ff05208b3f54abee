"""What a simulation needs to run under lynx-runner, in a few lines.

A job gets three environment variables: ``TETRYX_RUN_CONFIG`` (a JSON file with
this run's parameters), ``TETRYX_TELEMETRY_URL`` (where live numbers may go) and
``TETRYX_OUTPUT_DIR`` (where files go that are kept). Exit status 0 is success.
Nothing here is required; it saves writing the same lines in each simulation::

    from lynx_sdk import RunConfig, Telemetry, write_json

    config = RunConfig.load()  # also seeds random and numpy
    charge = config.number("battery_charge_percent", at_least=0, at_most=100)
    load = config.number("load_w", unit="W", above=0)
    with Telemetry.from_env() as telemetry:  # does nothing outside of a job
        for second in range(600):
            charge -= load / 3600
            telemetry.emit(second, {"battery.charge": (charge, "percent")})
    write_json("summary.json", {"success": charge > 0, "final_charge_percent": charge})

Three independent modules: :mod:`lynx_sdk.config`, :mod:`lynx_sdk.telemetry` and
:mod:`lynx_sdk.artifacts`.
"""

from lynx_sdk.artifacts import output_dir, write_csv, write_json
from lynx_sdk.config import ConfigError, RunConfig, Simulation
from lynx_sdk.telemetry import Telemetry, TelemetryStats

__all__ = [
    "ConfigError",
    "RunConfig",
    "Simulation",
    "Telemetry",
    "TelemetryStats",
    "output_dir",
    "write_csv",
    "write_json",
]
