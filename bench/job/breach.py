"""Break the study's rule, and stay; a child makes the end of the job that of a tree."""

import subprocess
import sys
import time

from lynx_sdk import Telemetry

subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(3600)"])
with Telemetry.from_env() as telemetry:
    for x in (0, 2):
        telemetry.emit(time.time(), {"x": float(x)})
    time.sleep(3600)
