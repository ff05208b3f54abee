"""Prepares matplotlib for a read-only container, at interpreter start.

Matplotlib wants a directory that it can write to, and builds its list of fonts
there when it finds none (about a second). The image has that list; this gives
the process a private directory with a link to it. Loaded by ``lynx_image.pth``;
does nothing where ``MPLCONFIGDIR`` is set already.
"""

import os


def _prepare(cache: str = "/opt/lynx/share/matplotlib") -> None:
    if os.environ.get("MPLCONFIGDIR"):
        return
    temporary = os.environ.get("TMPDIR") or "/tmp"
    # One directory per user: nobody else's links are followed.
    directory = os.path.join(temporary, f"matplotlib-{os.getuid()}")
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        for name in os.listdir(cache):
            link = os.path.join(directory, name)
            if name.endswith(".json") and not os.path.lexists(link):
                os.symlink(os.path.join(cache, name), link)
    except OSError:
        return  # matplotlib then falls back to a directory of its own
    os.environ["MPLCONFIGDIR"] = directory


_prepare()
