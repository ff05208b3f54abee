"""Prepares matplotlib for a read-only container, at interpreter start.

Matplotlib wants a directory that it can write to, and builds its list of fonts
there when it finds none (about a second). The image has that list; this gives
the process a directory with a link to it: ``MPLCONFIGDIR`` if that is set, else
one of its own. Loaded by ``lynx_image.pth``.
"""

import os


def _prepare(cache: str = "/opt/lynx/share/matplotlib") -> None:
    directory = os.environ.get("MPLCONFIGDIR")
    if not directory:
        directory = os.path.join(os.environ.get("TMPDIR") or "/tmp", f"matplotlib-{os.getuid()}")
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        for name in os.listdir(cache):
            link = os.path.join(directory, name)
            if name.endswith(".json") and not os.path.lexists(link):
                os.symlink(os.path.join(cache, name), link)
    except OSError:
        return  # matplotlib then makes do with a temporary directory
    os.environ["MPLCONFIGDIR"] = directory


_prepare()
