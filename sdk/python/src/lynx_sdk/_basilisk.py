"""What Basilisk does in each run that a run of a shared interpreter need not do.

A forked child shares its server's memory until one of them writes to it: then the
kernel copies the page, 4 KiB. To touch a little of everything is what costs there.
"""

from __future__ import annotations

import atexit
import sys


def look_once() -> None:
    """Keep simulations from looking at all of Basilisk's message classes again.

    ``Basilisk.utilities.SimulationBaseClass`` (2.12) wraps a method of each class in
    ``Basilisk.architecture.messaging`` when it is imported, and every ``SimBaseClass()``
    looks at all of them for one that is not wrapped: some 4,000. A look writes to an
    object's reference count, so in a forked child it copies 16 MB of shared pages, which
    takes about as long as the tutorial's physics. After this, a simulation looks only
    where there are more names to look at than there were. A Basilisk that is not
    imported, or has no such function, is left as it is.
    """
    base = sys.modules.get("Basilisk.utilities.SimulationBaseClass")
    messaging = sys.modules.get("Basilisk.architecture.messaging")
    look = getattr(base, "_ensureRecorderSourceHooks", None)
    if base is None or messaging is None or not callable(look):
        return
    look()  # at what other modules have added since
    known = len(vars(messaging))

    def look_where_new() -> None:
        if len(vars(messaging)) != known:
            look()

    base._ensureRecorderSourceHooks = look_where_new  # type: ignore[attr-defined]


def leave_unmarked() -> None:
    """Keep runs from telling all of Basilisk's messages that the interpreter goes.

    Each of its 140 kinds of message has a function for :mod:`atexit` that sets a mark, so
    that C++ does not call Python while the interpreter is torn down. That does not happen
    to a run of a shared interpreter, and the marks take it 6 ms.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("Basilisk."):
            mark = getattr(module, "_bsk_mark_python_shutting_down", None)
            if callable(mark):
                atexit.unregister(mark)
