"""Leaves one number and one file in a folder."""

import json
import os
from pathlib import Path

out = Path(os.environ["TETRYX_OUTPUT_DIR"])
config = json.loads(Path(os.environ["TETRYX_RUN_CONFIG"]).read_text())
(out / "deep").mkdir()
(out / "deep" / "note.txt").write_text(config["run_id"])
(out / "summary.json").write_text(
    json.dumps({"value": config["parameters"]["x"] * 2, "ok": True, "text": "no metric"})
)
