"""Copies of a database that is in use: whole, verified, and put back."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import pkgutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mgpu.model.events import Audited
from mgpu.model.time import Now
from mgpu.store import copying, files
from mgpu.store.base import Batch, JobFilter, StoreCorrupt, StoreError
from mgpu.store.copying import DAYS_KEPT, MOST_KEPT, back_up, restore, verify
from mgpu.store.memory import MemoryStore
from mgpu.store.sqlite import SqliteStore, open_store
from tests.lib.golden import FOLDER
from tests.lib.samples import NOW, PHASES, job, submitted

AT = NOW.wall


def end(store: SqliteStore, *numbers: int) -> None:
    """Have jobs ended in the store."""
    jobs = [job(number, PHASES["Ended"]) for number in numbers]
    store.commit(Batch(AT, [submitted(job(one.id), count=1) for one in jobs], jobs))


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    opened = open_store(tmp_path / "state", AT)
    end(opened, 1, 2)
    return opened


def test_a_copy_is_of_the_moment_whatever_is_stored_meanwhile(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = copying._copy

    def slowly(source: object, target: Path) -> None:
        for number in range(10, 400):
            end(store, number)
        real(source, target)  # type: ignore[arg-type]

    store.hold_file(held=True)
    with monkeypatch.context() as patch:
        patch.setattr(copying, "_copy", slowly)
        told = back_up(tmp_path / "state", "now", keep=True)
    store.hold_file(held=False)
    assert told["jobs"] == 2
    assert Path(told["path"]).stat().st_mode & 0o777 == 0o600
    assert len(store.find(JobFilter())) == 392
    store.close()


def test_a_check_leaves_nothing(store: SqliteStore, tmp_path: Path) -> None:
    store.hold_file(held=True)
    told = back_up(tmp_path / "state", "now", keep=False)
    assert "path" not in told
    assert list((tmp_path / "state" / copying.FOLDER).iterdir()) == []


def kept(state: Path, *stamps: str) -> list[str]:
    """Which of the copies made at these times are kept."""
    for stamp in stamps:
        back_up(state, stamp, keep=True)
    return sorted(path.name.split(".")[-1] for path in (state / copying.FOLDER).iterdir())


def test_the_newest_copies_are_kept(store: SqliteStore, tmp_path: Path) -> None:
    store.hold_file(held=True)
    stamps = [f"20260101T0{hour}0000Z" for hour in range(MOST_KEPT + 2)]
    assert kept(tmp_path / "state", *stamps) == stamps[2:]


def test_the_last_copy_of_each_of_the_last_days_is_kept(store: SqliteStore, tmp_path: Path) -> None:
    """So that quick copies of one day push out none of another."""
    store.hold_file(held=True)
    days = [f"2026010{day}T{hour}0000Z" for day in range(1, DAYS_KEPT + 2) for hour in (10, 20)]
    quick = [f"20260109T00000{second}Z" for second in range(MOST_KEPT + 2)]
    last_of_days = days[1::2][-(DAYS_KEPT - 1) :]
    assert kept(tmp_path / "state", *days, *quick) == last_of_days + quick[-MOST_KEPT:]


def test_a_copy_is_put_back_and_the_database_aside(store: SqliteStore, tmp_path: Path) -> None:
    state = tmp_path / "state"
    store.hold_file(held=True)
    copy = Path(back_up(state, "one", keep=True)["path"])
    store.hold_file(held=False)
    end(store, 3)
    store.close()
    with copy.open("rb") as source:
        told = restore(state, source, "two", "copy", AT + 5)
    assert told["aside"] == str(state / "mgpu.db.before.two")
    back = open_store(state, AT)
    assert [one.id for one in back.find(JobFilter())] == [2, 1]
    noted = back.trail(0, 1)[0]
    assert noted == [Audited(Now(AT + 5, 0.0), 0, "restore", "copy", "ok")]
    back.close()
    assert verify(state / "mgpu.db.before.two")["jobs"] == 3


def test_numbers_of_what_runs_now_are_not_given_again(tmp_path: Path) -> None:
    state = tmp_path / "state"
    store = open_store(state, AT)
    store.commit(Batch(AT, [submitted(job(1), count=1)], [job(1)]))
    store.hold_file(held=True)
    copy = Path(back_up(state, "one", keep=True)["path"]).read_bytes()
    store.close()
    for name in ("1.1", "7.2"):
        (state / "attempts" / name).mkdir(parents=True)
    restore(state, io.BytesIO(copy), "two", "copy")
    back = open_store(state, AT)
    loaded = back.load()
    assert [(one.id, one.attempt) for one in loaded.jobs] == [(1, 1)]
    assert loaded.next_id == 8
    back.close()
    assert not list(state.glob(".mgpu.db*"))


STEPS = ("os.link", "pathlib.Path.rename", "pathlib.Path.unlink", "mgpu.store.files.sync")


class Killed(BaseException):
    """Nothing is done any more."""


@pytest.mark.parametrize("count", range(1, 4))
@pytest.mark.parametrize("step", STEPS)
def test_a_restore_that_is_killed_loses_neither(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, count: int
) -> None:
    state = tmp_path / "state"
    store.hold_file(held=True)
    copy = Path(back_up(state, "one", keep=True)["path"]).read_bytes()
    end(store, 3)
    files.leak(store._db)
    store._home.close()
    calls = itertools.count(1)

    def killed(*_: object, **__: object) -> None:
        raise Killed

    def counted(*args: Any, **options: Any) -> Any:
        if next(calls) < count:
            return real(*args, **options)
        for name in STEPS:
            monkeypatch.setattr(name, killed)
        raise Killed

    real = pkgutil.resolve_name(step)
    monkeypatch.setattr(step, counted)
    with contextlib.suppress(Killed):
        restore(state, io.BytesIO(copy), "two", "copy")
    monkeypatch.undo()
    back = open_store(state, AT)
    assert [one.id for one in back.find(JobFilter())] in ([3, 2, 1], [2, 1])
    back.close()


DAMAGE = [b"", b"not a database" * 100, b"\0" * 8192]


@pytest.mark.parametrize("data", DAMAGE)
def test_what_is_no_whole_copy_is_refused_and_changes_nothing(
    store: SqliteStore, tmp_path: Path, data: bytes
) -> None:
    state = tmp_path / "state"
    store.close()
    before = (state / "mgpu.db").read_bytes()
    with pytest.raises(StoreError, match=r"^/given: ") as caught:
        restore(state, io.BytesIO(data), "now", "/given")
    assert "the database" not in caught.value.message
    assert caught.value.hint == "give a file that mgpu_ctl db backup has made"
    assert (state / "mgpu.db").read_bytes() == before
    assert not list(state.glob("*restored*"))


def test_a_damaged_page_is_found(store: SqliteStore, tmp_path: Path) -> None:
    for number in range(10, 300):
        end(store, number)
    store.close()
    path = tmp_path / "state" / "mgpu.db"
    data = bytearray(path.read_bytes())
    data[4096 * 5 : 4096 * 5 + 2000] = b"\xff" * 2000
    path.write_bytes(data)
    with pytest.raises(StoreCorrupt):
        verify(path)


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (x)")
    other.commit()
    other.close()
    with pytest.raises(StoreCorrupt, match="not one of mgpu"):
        verify(tmp_path / "other.db")


COPIES = """
import os, signal, sys
from mgpu.store import copying
copying._copy = lambda *_: (print(os.getpid(), flush=True), signal.pause())
copying.main(["backup", sys.argv[1], "0", str(os.getppid())])
"""
ASKS = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"


def test_a_copy_ends_with_the_scheduler_that_asked_for_it(
    store: SqliteStore, tmp_path: Path
) -> None:
    asks = [sys.executable, "-c", ASKS, COPIES, str(tmp_path / "state")]
    with subprocess.Popen(asks, stdout=subprocess.PIPE) as scheduler:
        assert scheduler.stdout is not None
        copies = int(scheduler.stdout.readline())
        scheduler.kill()
        try:
            scheduler.communicate(timeout=10)  # the end of all that writes there
        except subprocess.TimeoutExpired:
            os.kill(copies, signal.SIGKILL)
            pytest.fail("the copy goes on")
    store.close()


def test_what_is_in_memory_alone_has_no_copy() -> None:
    with pytest.raises(StoreError, match="in memory"):
        MemoryStore().hold_file(held=True)


@pytest.mark.parametrize("version", sorted((FOLDER / "state").glob("v*.db")), ids=lambda p: p.stem)
def test_a_copy_of_an_older_version_is_put_back_too(version: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    open_store(state, AT).close()
    with version.open("rb") as source:
        restore(state, source, "two", "copy", AT)
    back = open_store(state, AT)
    assert back.trail(0, 1)[0] == [Audited(Now(AT, 0.0), 0, "restore", "copy", "ok")]
    assert back.load().jobs
    back.close()
