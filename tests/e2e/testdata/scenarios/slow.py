"""Takes two seconds, whatever happens."""

import json
import os
import time
from pathlib import Path

time.sleep(2)
Path(os.environ["TETRYX_OUTPUT_DIR"], "summary.json").write_text(json.dumps({"value": 42}))
