"""Says something on both streams, leaves a file and fails with status 3."""

import os
import sys
from pathlib import Path

Path(os.environ["TETRYX_OUTPUT_DIR"], "partial.txt").write_text("half of it\n")
print("this went to stdout")
print("the propellant tank is empty", file=sys.stderr)
sys.exit(3)
