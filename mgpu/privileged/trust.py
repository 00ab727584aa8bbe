"""Whether what root executes and reads is root's alone; if it is not, the daemon does not start.

A file that others can write is a way to become root, and so is a folder in which others can
replace it. Every path is therefore judged with all folders above it.
"""

from __future__ import annotations

import os
import stat

from mgpu.system.way import way

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Untrusted(Exception):
    """A path that somebody else than root could change, and the remedy."""


def check(path: str, *, owners: Iterable[int] = (0,)) -> None:
    """Raise ``Untrusted`` if ``path``, a link on the way, or a folder above can be changed.

    The path itself belongs to one of ``owners``, what is above it to root.
    """
    try:
        steps = dict.fromkeys(way(path))
    except OSError as error:
        raise Untrusted(f"{path} is reached by too many links") from error
    for step in steps:
        _judge(step, (0,), shared=True)
    _judge(os.path.realpath(path), owners)


def check_tree(folder: str) -> None:
    """``check`` for a folder and everything in it."""
    check(folder)
    for parent, folders, files in os.walk(os.path.realpath(folder)):
        for name in (*folders, *files):
            _judge(os.path.join(parent, name), (0,))


def _judge(path: str, owners: Iterable[int], *, shared: bool = False) -> None:
    """``shared`` allows a folder like /tmp, in which nobody can replace what is another's."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return  # nothing is read from there; the folder above is judged by itself
    if found.st_uid not in owners:
        wanted = "root" if tuple(owners) == (0,) else f"one of the uids {tuple(owners)}"
        raise Untrusted(f"{path} belongs to uid {found.st_uid}, not to {wanted}")
    if stat.S_ISLNK(found.st_mode):
        return
    sticky = shared and stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
    if found.st_mode & _OTHERS_WRITE and not sticky:
        mode = stat.S_IMODE(found.st_mode)
        raise Untrusted(f"{path} can be written by others than root (mode {mode:o}): chmod go-w it")
