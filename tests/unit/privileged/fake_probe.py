"""A file system of paths, for the rules of activation."""

from __future__ import annotations

import os

from mgpu.privileged.probe import Probe


class FakeProbe(Probe):
    """Files with their contents; folders are what lies above a file. All belong to ``uid``."""

    def __init__(self, files: dict[str, bytes], *, uid: int = 1001) -> None:
        self.files = {os.fsencode(path): data for path, data in files.items()}
        self.uid = uid
        self.owners: dict[bytes, int] = {}

    def is_file(self, path: bytes) -> bool:
        return path in self.files

    def is_dir(self, path: bytes) -> bool:
        return any(file.startswith(path.rstrip(b"/") + b"/") for file in self.files)

    def owner(self, path: bytes) -> int | None:
        there = self.is_file(path) or self.is_dir(path)
        return self.owners.get(path, self.uid) if there else None

    def names(self, path: bytes) -> list[bytes]:
        start = path + b"/"
        inside = (file[len(start) :] for file in self.files if file.startswith(start))
        return sorted({name.partition(b"/")[0] for name in inside}, reverse=True)

    def read(self, path: bytes) -> bytes:
        return self.files.get(path, b"")


def venv(path: str) -> dict[str, bytes]:
    """The files that make a virtual environment."""
    return {f"{path}/pyvenv.cfg": b"", f"{path}/bin/python": b""}
