"""The store on SQLite: one file, one connection, one writer, full sync at every commit."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgpack

from mgpu.model.events import Event
from mgpu.model.job import Job, JobSpec
from mgpu.model.records import Record
from mgpu.model.runs import Run
from mgpu.model.target import Names
from mgpu.store import accounts, files, forgetting, records, rows, schema, upgrading
from mgpu.store.base import (
    ANSWER_AGE,
    ANSWERS_KEPT,
    ANSWERS_SLACK,
    Asked,
    Batch,
    JobFilter,
    Leftover,
    Loaded,
    Outcome,
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreNewer,
)
from mgpu.store.codec import corrupt
from mgpu.store.faults import CORRUPT_HINT, FULL, as_store_error
from mgpu.store.rows import SELECT_JOBS

_PUT_JOB: Final = """
    INSERT INTO jobs(id, uid, user, spec, submitted, seq, priority, attempt, restarts, deferrals,
                     state, ended, phase, array, task, more)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT(id) DO UPDATE SET seq = excluded.seq, priority = excluded.priority,
        attempt = excluded.attempt, restarts = excluded.restarts, deferrals = excluded.deferrals,
        state = excluded.state, ended = excluded.ended, phase = excluded.phase,
        task = excluded.task, more = excluded.more"""
_PUT_SPEC: Final = "INSERT OR IGNORE INTO specs(id, body) VALUES (?, ?)"
_PUT_PAYLOAD: Final = "INSERT OR REPLACE INTO payloads(spec, body) VALUES (?, ?)"
_PUT_ANSWER: Final = "INSERT OR REPLACE INTO answers(uid, key, at, body) VALUES (?, ?, ?, ?)"
_PUT_META: Final = "INSERT OR REPLACE INTO meta(name, value) VALUES (?, ?)"
_PUT_RECORD: Final = "INSERT OR REPLACE INTO records(kind, key, body) VALUES (?, ?, ?)"
_DROP_RECORD: Final = "DELETE FROM records WHERE kind = ? AND key = ?"
_LEAVE_PAYLOAD: Final = "UPDATE payloads SET unused = ? WHERE spec = ?"
_LEFTOVERS: Final = """
    SELECT p.spec, jobs.uid, length(p.body), p.unused FROM payloads AS p JOIN jobs ON id = p.spec
    WHERE p.unused IS NOT NULL ORDER BY p.unused, p.spec"""
_EVENTS_OF: Final = """
    SELECT seq, body FROM events WHERE job > 0 AND job IN (SELECT value FROM json_each(?))
    ORDER BY seq DESC LIMIT ?"""
_DROP_PAYLOAD: Final = "DELETE FROM payloads WHERE spec = ?"
_ACTIVE: Final = SELECT_JOBS + " WHERE ended IS NULL ORDER BY id"
_ACTIVE_SPECS: Final = (
    "SELECT id, body FROM specs WHERE id IN (SELECT spec FROM jobs WHERE ended IS NULL)"
)
_ONE_JOB: Final = SELECT_JOBS + " WHERE id = ?"
_NEWEST: Final = """
    SELECT id FROM jobs WHERE uid = ? AND ended IS NOT NULL AND array IN (0, id)
    ORDER BY id DESC LIMIT ?"""
_OUTCOMES: Final = """
    SELECT id, task, more, state, ended FROM jobs
    WHERE array = ?1 AND array > 0 AND ended IS NOT NULL"""
_OUTCOME: Final = f"{_OUTCOMES} AND task = ?2 UNION ALL {_OUTCOMES} AND task IS NULL"
_FORGET_ANSWERS: Final = """
    DELETE FROM answers WHERE uid = :uid AND id <= (
        SELECT id FROM answers WHERE uid = :uid ORDER BY id DESC LIMIT 1 OFFSET :kept)"""

_RECORDS: Final = "SELECT kind, key, body FROM records ORDER BY kind, key"
#: Numbers are the order of time: a bounded range of them is read, and needs no index of its own.
_TRAIL: Final = """
    SELECT seq, body FROM events WHERE seq < ? AND seq >= ? AND kind IN ('Audited', 'Submitted')
    ORDER BY seq DESC"""
#: Pages in the log after which SQLite takes them into the file: its own default.
_CHECKPOINT_PAGES: Final = 1000
_FORGET_OLD: Final = "DELETE FROM answers WHERE at < ?"


class SqliteStore:
    """See :class:`mgpu.store.base.Store`. Made by :func:`open_store`.

    ``checked`` tells whether everything was read through at the start.
    """

    def __init__(self, home: files.Home, connection: sqlite3.Connection) -> None:
        self._home = home
        self._db = connection
        self._unpruned: dict[int, int] = {}
        self.checked = not home.is_large

    def load(self) -> Loaded:
        """Everything that is active. Jobs of one submission share their spec object."""
        with _errors():
            specs = {i: _spec(i, body) for i, body in self._db.execute(_ACTIVE_SPECS)}
            reader = rows.Reader(self._spec, specs)
            jobs = [reader.job(row) for row in self._db.execute(_ACTIVE)]
            last = self._value("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'") or 0
            boot_id = self._value("SELECT value FROM meta WHERE name = 'boot_id'") or ""
            kept = [_record(*row) for row in self._db.execute(_RECORDS)]
        next_seq = max((job.seq for job in jobs), default=0) + 1
        return Loaded(jobs, last + 1, next_seq, boot_id, kept)

    def commit(self, batch: Batch) -> None:
        """Make the batch durable, or raise and store nothing of it."""
        if batch.new_work and not self._home.reserve():
            raise StoreFull(*FULL)
        try:
            self._write(batch)
        except StoreFull:
            if batch.new_work or not self._home.release():
                raise
            self._write(batch)
        else:
            self._home.reserve_later(batch.at)

    def suspect(self) -> None:
        """Have everything checked at the next start, which a large state is spared otherwise."""
        self._home.suspect()

    def payload(self, spec_id: int) -> bytes:
        """The launch payload of a spec; raises :class:`StoreCorrupt` where there is none."""
        body = self._value("SELECT body FROM payloads WHERE spec = ?", spec_id)
        if body is None:
            raise corrupt(f"payloads row {spec_id}", "missing")
        payload: bytes = body
        return payload

    def payload_sizes(self) -> dict[int, int]:
        """The bytes of each launch payload that is kept, by spec."""
        with _errors():
            return dict(self._db.execute("SELECT spec, length(body) FROM payloads").fetchall())

    def leftovers(self) -> list[Leftover]:
        """The payloads of ``leave_payloads`` that were not dropped since, the oldest first."""
        with _errors():
            return [Leftover(*row) for row in self._db.execute(_LEFTOVERS)]

    def answer(self, uid: int, key: str) -> dict[str, Any] | None:
        """What the request ``key`` of ``uid`` was answered, if that is still known."""
        body = self._value("SELECT body FROM answers WHERE uid = ? AND key = ?", uid, key)
        return None if body is None else msgpack.unpackb(body)

    def find(self, wanted: JobFilter) -> list[Job]:
        """Jobs that have ended, newest end first."""
        query, values = rows.query(wanted)
        reader = rows.Reader(self._spec)
        with _errors():
            found = [reader.job(row) for row in self._db.execute(query, values)]
        if wanted.names is None:
            return found
        names = Names(wanted.names)  # the query does not look into records of several tasks
        return [job for job in found if names.has(job.id, job.array, job.tasks)]

    def job(self, job_id: int) -> Job | None:
        """One job, active or ended."""
        with _errors():
            row = self._db.execute(_ONE_JOB, (job_id,)).fetchone()
            return None if row is None else rows.Reader(self._spec).job(row)

    def newest(self, uid: int, limit: int) -> list[int]:
        """Ids of submissions of ``uid`` that are over or in part so, the newest first."""
        with _errors():
            return [number for (number,) in self._db.execute(_NEWEST, (uid, limit))]

    def outcomes(self, array: int, task: int | None = None) -> list[Outcome]:
        """The tasks of an array that have ended; ``task`` asks for the one it is in alone."""
        with _errors():
            if task is None:
                found = self._db.execute(_OUTCOMES, (array,)).fetchall()
            else:
                found = self._db.execute(_OUTCOME, (array, task)).fetchall()
        outcomes = map(rows.outcome, found)
        return [one for one in outcomes if task is None or task in one.tasks]

    def runs(self, job_id: int) -> list[Run]:
        """The attempts of a job that are over, in order."""
        with _errors():
            return accounts.of_job(self._db, job_id)

    def history(self, after: int = 0, limit: int = 1000) -> list[tuple[int, Event]]:
        """The audit trail in order: (number, event) with numbers greater than ``after``."""
        query = "SELECT seq, body FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
        with _errors():
            found = self._db.execute(query, (after, limit)).fetchall()
        return [(n, self._event(n, body)) for n, body in found]

    def events_of(self, jobs: Sequence[int], limit: int = 1000) -> list[Event]:
        """The newest events of these records, in order."""
        with _errors():
            values = (json.dumps(list(jobs)), limit)
            found = self._db.execute(_EVENTS_OF, values).fetchall()
        return [self._event(n, body) for n, body in reversed(found)]

    def first_event(self, job: int) -> Event | None:
        """The oldest event of this record."""
        query = "SELECT seq, body FROM events WHERE job > 0 AND job = ? ORDER BY seq LIMIT 1"
        with _errors():
            found = self._db.execute(query, (job,)).fetchone()
        return None if found is None else self._event(*found)

    def _event(self, number: int, body: bytes) -> Event:
        return records.unpack_event(body, f"events row {number}", self._spec_of_old)

    def trail(self, before: int, span: int) -> tuple[list[Asked], int]:
        """Who asked for what, newest first: of the ``span`` events before number ``before``."""
        before = before or (self._value("SELECT max(seq) FROM events") or 0) + 1
        first = self._value("SELECT min(seq) FROM events") or 0
        with _errors():
            found = self._db.execute(_TRAIL, (before, before - span)).fetchall()
        events = [self._event(n, body) for n, body in found]
        asked = [event for event in events if isinstance(event, Asked)]
        return asked, before - span if before - span > first else 0

    def hold_file(self, *, held: bool) -> None:
        """Keep the file as it is, up to date: what is stored meanwhile stays in the log."""
        with _errors():
            if held and self._checkpoint():
                raise StoreError("the history is being read", "try again in a moment")
            pages = 0 if held else _CHECKPOINT_PAGES
            self._db.execute(f"PRAGMA wal_autocheckpoint = {pages}")

    def _checkpoint(self) -> bool:
        """Put the whole log into the file; True where somebody who reads is in the way."""
        self._db.execute("PRAGMA busy_timeout = 0")  # the scheduler does not wait for readers
        try:
            return bool(self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
        finally:
            self._db.execute("PRAGMA busy_timeout = 5000")

    def close(self) -> None:
        """Give the files back. What was committed stays."""
        self._db.close()
        self._home.close()

    def forget(self, what: str, before: float, limit: int, keep: Collection[int] = ()) -> int:
        """Remove what is older than ``before`` (Unix time), ``limit`` rows at most; how many."""
        with self._transaction():
            return forgetting.FORGET[what](self._db, before, limit, keep)

    def _write(self, batch: Batch) -> None:
        with self._transaction():
            self._put(batch)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with _errors():
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    def _put(self, batch: Batch) -> None:
        many = self._db.executemany
        many(_PUT_SPEC, rows.of_specs(batch.events))
        many(_PUT_PAYLOAD, batch.payloads.items())
        many(_PUT_JOB, rows.of_jobs(batch.jobs))
        many(rows.PUT_EVENT, map(rows.of_event, batch.events))
        many(_PUT_META, batch.meta.items())
        many(_PUT_RECORD, rows.of_records(batch.records))
        many(_DROP_RECORD, rows.of_gone(batch.records))
        accounts.put(self._db, batch.runs)
        many(_LEAVE_PAYLOAD, [(batch.at, spec_id) for spec_id in batch.leave_payloads])
        many(_DROP_PAYLOAD, [(spec_id,) for spec_id in batch.drop_payloads])
        if batch.answers:
            self._put_answers(batch)

    def _put_answers(self, batch: Batch) -> None:
        new_rows = [(uid, key, batch.at, msgpack.packb(body)) for uid, key, body in batch.answers]
        self._db.executemany(_PUT_ANSWER, new_rows)
        for uid, _, _ in batch.answers:
            new = self._unpruned.get(uid, ANSWERS_SLACK) + 1
            if new > ANSWERS_SLACK:
                self._db.execute(_FORGET_ANSWERS, {"uid": uid, "kept": ANSWERS_KEPT})
                new = 0
            self._unpruned[uid] = new

    def _roll_back(self) -> None:
        # A failed COMMIT can have ended the transaction already, or have left it open.
        with contextlib.suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _value(self, query: str, *values: object) -> Any:
        with _errors():
            row = self._db.execute(query, values).fetchone()
        return None if row is None else row[0]

    def _spec_of_old(self, spec_id: int) -> JobSpec:
        """The spec of a submission, empty where its jobs have been forgotten."""
        body = self._value("SELECT body FROM specs WHERE id = ?", spec_id)
        return JobSpec(spec_id, "", "", "") if body is None else _spec(spec_id, body)

    def _spec(self, spec_id: int) -> JobSpec:
        body = self._value("SELECT body FROM specs WHERE id = ?", spec_id)
        if body is None:
            raise corrupt(f"specs row {spec_id}", "missing")
        return _spec(spec_id, body)


def open_store(state_dir: Path | str, now: float) -> SqliteStore:
    """Open or make the state in ``state_dir``; ``now`` (Unix time) dates a backup.

    Waits up to five seconds for another process to let go of it. Raises
    :class:`StoreBusy`, :class:`StoreCorrupt`, :class:`StoreNewer`, :class:`StoreReadOnly`,
    :class:`StoreFull` or another :class:`StoreError`.
    """
    home = files.Home.take(Path(state_dir))
    try:
        connection = _connect_with_reserve(home, now)
    except BaseException:
        home.close()
        raise
    home.reserve()
    return SqliteStore(home, connection)


def _connect_with_reserve(home: files.Home, now: float) -> sqlite3.Connection:
    try:
        return _connect(home, now)
    except StoreFull:
        if not home.release():
            raise
        return _connect(home, now)


def _connect(home: files.Home, now: float) -> sqlite3.Connection:
    connection = home.connect()
    try:
        with _errors():
            _settle(connection, home)
            schema.prepare(
                connection,
                lambda version: home.back_up(connection, version, now),
                lambda version: upgrading.fill(connection, version),
            )
            connection.execute(_FORGET_OLD, (now - ANSWER_AGE,))
    except BaseException as error:
        _give_up(connection, error)
        raise
    return connection


def _settle(connection: sqlite3.Connection, home: files.Home) -> None:
    # Not locked against readers: questions about the history come from another process.
    for pragma in ("foreign_keys = OFF", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    schema.version_of(connection)
    if not home.is_large or home.suspected:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise StoreCorrupt(f"{files.DATABASE}: {verdict}", CORRUPT_HINT)
        home.clear()
    connection.execute("PRAGMA journal_mode = WAL")


def _give_up(connection: sqlite3.Connection, error: BaseException) -> None:
    if isinstance(error, StoreCorrupt | StoreNewer):
        files.leak(connection)
    else:
        connection.close()


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise as_store_error(error) from error


def _record(kind: str, key: str, body: bytes) -> Record:
    return records.unpack_record(body, f"records row {kind} {key}")


def _spec(spec_id: int, body: bytes) -> JobSpec:
    return records.unpack_spec(body, f"specs row {spec_id}")
