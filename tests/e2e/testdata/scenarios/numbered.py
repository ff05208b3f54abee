"""Numbered lines and numbered samples for a while, for who counts them."""

import sys
import time

from lynx_sdk import Telemetry, write_json

COUNT, PAUSE_SECONDS = 500, 0.02

with Telemetry.from_env() as telemetry:
    for i in range(1, COUNT + 1):
        telemetry.emit(i, {"count.value": (float(i), "none")})
        print(f"line {i}", flush=True)
        print(f"error line {i}", file=sys.stderr, flush=True)
        time.sleep(PAUSE_SECONDS)
stats = telemetry.stats
write_json("summary.json", {"value": COUNT, "acknowledged": stats.acknowledged, "connections": stats.connections})
sys.exit(3)
