"""The little of the file system that activation looks at; tests give it another."""

from __future__ import annotations

import os
import stat

_MAX_READ = 256 * 1024


class Probe:
    """Questions about paths, asked as the user. What cannot be read is not there."""

    def is_file(self, path: bytes) -> bool:
        """Whether it is a regular file, also through links."""
        mode = self._mode(path)
        return mode is not None and stat.S_ISREG(mode)

    def is_dir(self, path: bytes) -> bool:
        """Whether it is a folder, also through links."""
        mode = self._mode(path)
        return mode is not None and stat.S_ISDIR(mode)

    def owner(self, path: bytes) -> int | None:
        """The uid that owns it (the link's own, if it is one), or None."""
        try:
            return os.lstat(path).st_uid
        except OSError:
            return None

    def names(self, path: bytes) -> list[bytes]:
        """What is in the folder."""
        try:
            return os.listdir(path)
        except OSError:
            return []

    def read(self, path: bytes) -> bytes:
        """Its first 256 KiB; nothing where it is not a regular file."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            return os.read(fd, _MAX_READ) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
        finally:
            os.close(fd)

    def _mode(self, path: bytes) -> int | None:
        try:
            return os.stat(path).st_mode
        except (OSError, ValueError):
            return None
