#!/usr/bin/env python3
"""The tutorial by the least that can run it quickly: one interpreter that forks.

    fork_server.py DIRECTORY PROCESSES SCRIPT MODULE...

It imports the modules, and then runs the script in a forked child for each directory
below DIRECTORY, PROCESSES at a time: each has a run_config.json, and gets its files
into output/. There is no limit to a run, no telemetry, nothing between the runs, and
nothing is checked but their exit status.
"""

from __future__ import annotations

import gc
import importlib
import os
import runpy
import sys
from pathlib import Path
from typing import NoReturn


def run(directory: Path, script: str) -> NoReturn:
    """Run the script, as a child, for one directory."""
    code = 1
    try:
        output = directory / "output"
        os.environ["TETRYX_RUN_CONFIG"] = str(directory / "run_config.json")
        os.environ["TETRYX_OUTPUT_DIR"] = str(output)
        for number, name in ((1, "stdout.log"), (2, "stderr.log")):
            os.dup2(os.open(output / name, os.O_WRONLY | os.O_CREAT, 0o644), number)
        sys.argv = [script]
        sys.path[0] = str(Path(script).parent)
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        code = 0 if end.code in (None, 0) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> int:
    """Fork them all."""
    root, processes, script, *modules = sys.argv[1:]
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    left = sorted(d for d in Path(root).iterdir() if (d / "run_config.json").exists())
    running = failed = 0
    while left or running:
        while left and running < int(processes):
            directory = left.pop(0)
            if os.fork() == 0:
                run(directory, script)
            running += 1
        _, status = os.wait()
        running -= 1
        failed += status != 0
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
