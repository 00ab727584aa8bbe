"""What the store does on a disk that is full or read-only. Runs in a mount namespace of its own:

unshare --mount python -m tests.unit.store.disk_scenarios NAME FOLDER
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mgpu.model.events import Finished
from mgpu.model.job import Ended
from mgpu.store.base import Batch, Store, StoreError, StoreFull, StoreReadOnly
from mgpu.store.files import BALLAST, BALLAST_RETRY
from mgpu.store.sqlite import open_store
from tests.lib.samples import NOW, PHASES, job, submitted

AT = NOW.wall


def mount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)


def fill(folder: Path) -> None:
    """Leave no byte free."""
    with (folder / "filler").open("ab", buffering=0) as file:
        for size in (1 << 16, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


def submit_until_full(store: Store) -> int:
    number = 1
    try:
        while True:
            one = job(number)
            store.commit(Batch(AT, [submitted(one)], [one], {number: os.urandom(50_000)}))
            number += 1
    except StoreFull:
        return number - 1


def finish(store: Store, number: int, at: float = AT) -> None:
    over = job(number, Ended("COMPLETED", 20.0, 11.0, 0))
    store.commit(Batch(at, [Finished(NOW, number, 1, "COMPLETED", 0)], [over]))


def refused(store: Store, number: int) -> bool:
    one = job(number)
    try:
        store.commit(Batch(AT, [submitted(one)], [one], {number: b"x"}))
    except StoreFull:
        return True
    return False


def full(folder: Path) -> None:
    """New work is refused, nothing is lost, ends are stored, and it works again after."""
    mount(folder, "size=6m")
    filler = folder / "filler"
    filler.write_bytes(b"\0" * (2 << 20))
    store = open_store(folder, AT)
    stored = submit_until_full(store)
    assert stored > 10
    fill(folder)
    assert len(store.load().jobs) == stored
    finish(store, 1)
    store.commit(Batch(AT, meta={"much": "x" * 300_000}))
    store.commit(Batch(AT, meta={"more": "x" * 300_000}))
    assert not (folder / BALLAST).exists(), "the reserve was not used"
    finish(store, 2)
    assert refused(store, stored + 1), "the reserve is not for new work"
    store.close()
    store = open_store(folder, AT)
    assert [one.id for one in store.load().jobs] == list(range(3, stored + 1))
    filler.unlink()
    finish(store, 3, AT + 2 * BALLAST_RETRY)
    assert (folder / BALLAST).stat().st_size == 1 << 20, "the reserve was not made again"
    assert store.load().next_id == stored + 1
    store.close()


def full_at_start(folder: Path) -> None:
    """A full disk does not keep the scheduler from starting and from storing ends."""
    mount(folder, "size=4m")
    first = open_store(folder, AT)
    one = job(1, PHASES["Running"])
    first.commit(Batch(AT, [submitted(one)], [one], {1: b"x"}))
    first.close()
    fill(folder)
    store = open_store(folder, AT)
    assert store.load().jobs == [one]
    assert refused(store, 2) or (folder / BALLAST).exists()
    finish(store, 1)
    assert store.load().jobs == []
    store.close()


def full_for_ever(folder: Path) -> None:
    """With the reserve used up as well, an end is refused, not half stored."""
    mount(folder, "size=4m")
    store = open_store(folder, AT)
    stored = submit_until_full(store)
    fill(folder)
    finish(store, 1)
    fill(folder)
    ended = 1
    try:
        while ended < stored:
            fill(folder)
            finish(store, ended + 1)
            ended += 1
    except StoreFull:
        pass
    assert [one.id for one in store.load().jobs] == list(range(ended + 1, stored + 1))
    store.close()


def too_small(folder: Path) -> None:
    """No space for a new state at all: said so."""
    mount(folder, "size=8k")
    expect(StoreFull, folder)


def read_only(folder: Path) -> None:
    """A read-only folder is named as what it is."""
    mount(folder, "size=4m")
    open_store(folder, AT).close()
    subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
    expect(StoreReadOnly, folder)


def expect(kind: type[StoreError], folder: Path) -> None:
    with pytest.raises(kind) as caught:
        open_store(folder, AT)
    assert caught.value.hint


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
    print("done")
