"""Puts the scenario and the SDK on the path, as a job has them."""

import sys
from pathlib import Path

SCENARIO = Path(__file__).parents[1]
for path in (SCENARIO, SCENARIO.parents[2] / "sdk/python/src"):
    sys.path.insert(0, str(path))
