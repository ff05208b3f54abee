"""A module that cannot be preloaded: a thread of it goes on."""

import threading
import time

threading.Thread(target=time.sleep, args=(3600,), name="stays", daemon=True).start()
