"""What Basilisk does for each simulation though it was done when it was imported."""

from __future__ import annotations

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
    known = len(vars(messaging))

    def look_where_new() -> None:
        if len(vars(messaging)) != known:
            look()

    base._ensureRecorderSourceHooks = look_where_new  # type: ignore[attr-defined]
