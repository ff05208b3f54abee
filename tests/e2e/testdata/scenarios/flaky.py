"""Fails on the first attempt of a run, and succeeds on the second."""

import json
import os
import sys
from pathlib import Path

config = json.loads(Path(os.environ["TETRYX_RUN_CONFIG"]).read_text())
if config["attempt"] == 1:
    sys.exit("the star tracker is blind, this time")
Path(os.environ["TETRYX_OUTPUT_DIR"], "summary.json").write_text(json.dumps({"value": 42}))
