"""Sleeps for longer than any test waits, with a child, ignoring SIGTERM."""

import signal
import subprocess
import sys
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
print("sleeping", flush=True)
time.sleep(3600)
