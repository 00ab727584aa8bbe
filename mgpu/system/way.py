"""The way that the kernel takes to a file: who can change a step of it can give another file.

What runs as root imports this too, so it stands alone.
"""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: Names that the way to a path may have, those of the links on it included.
_MOST_STEPS = 1000


def way(path: str) -> Iterator[str]:
    """Each folder and each link on the way to ``path``. Raises OSError where it has no end."""
    # Not abspath: behind a link, ".." leads up from where the link leads to.
    start = "" if os.path.isabs(path) else os.getcwd()
    at, names = "/", os.path.join(start, path).split("/")[::-1]
    for _ in range(_MOST_STEPS):
        if not names:
            return
        name = names.pop()
        if name in ("", ".", ".."):
            at = os.path.dirname(at) if name == ".." else at
            continue
        yield at
        step = os.path.join(at, name)
        try:
            target = os.readlink(step)
        except OSError:  # no link
            at = step
            continue
        yield step
        names += target.split("/")[::-1]
        at = "/" if target.startswith("/") else at
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
