"""A real mgpud in scratch folders, and its commands run as Unix users.

    with Daemon() as daemon:
        job = daemon.submit(alice, "--gpus", "1", "--", "python3", "train.py")
        daemon.wait_state(job, "COMPLETED")

Leaving the block stops everything and fails when the daemon had crashed, or left a process or a
cgroup behind.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import click

from mgpu.cli.queue import queue as mgpu_queue
from mgpu.model.errors import MgpuError
from tests.lib import cgroups, processes
from tests.lib.users import User, as_user, run_as
from tests.lib.waiting import eventually
from tests.lib.wire import Wire

BIN = Path(os.environ.get("MGPU_TEST_BIN") or Path(sys.executable).parent)
READY_TIMEOUT = 15.0
#: Two small GPUs with round numbers, so that sums in tests can be read.
GPUS = [{"name": "Sim A", "memory": 16384, "count": 2}]
ENDED = {
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "PREEMPTED", "NODE_FAIL"),
    "LAUNCH_FAILED",
}
Config = Mapping[str, Mapping[str, object]]


class Daemon:
    """One mgpud on simulated GPUs; ``config`` adds to or replaces values, by section and key.

    ``prefix`` is a command line that ends by executing ``program``: ``["nice"]``.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        flags: Sequence[str] = (),
        gpus: Sequence[Mapping[str, object]] = tuple(GPUS),
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        program: Path = BIN / "mgpud",
    ) -> None:
        self.runtime = Path(tempfile.mkdtemp(prefix="mgpu-test-", dir="/run"))
        self.runtime.chmod(0o755)
        self.name = self.runtime.name
        self.state = Path("/var/lib") / self.name
        self.config_file = self.runtime.with_suffix(".toml")
        self.flags = list(flags)
        self.prefix = list(prefix)
        self.program = program
        self.env = dict(env or {})
        self.process: subprocess.Popen[bytes] | None = None
        self.allow_crash = False
        self._log = self.runtime.with_suffix(".log")
        self._before = processes.snapshot()
        self.configure(config or {}, gpus=gpus)

    # -------------------------------------------------------- life

    def configure(
        self, config: Config, *, gpus: Sequence[Mapping[str, object]] = tuple(GPUS)
    ) -> None:
        """Write the configuration file; it holds from the next start on."""
        base: dict[str, dict[str, object]] = {
            "paths": {
                "runtime_dir": str(self.runtime),
                "state_dir": str(self.state),
                "cgroup": self.name,
            },
            "gpus": {"backend": "simulated", "simulated": [dict(gpu) for gpu in gpus]},
            "scheduling": {"kill_grace": 2},
            # Tests look often; those about the limits set their own.
            "limits": {"request_burst": 100_000, "requests_per_second": 100_000},
        }
        for section, values in config.items():
            base.setdefault(section, {}).update(values)
        self.config_file.write_text(to_toml(base))
        self.config_file.chmod(0o644)

    def start(self, *, wait: bool = True) -> Daemon:
        """Start mgpud in the foreground of a background process; wait until it answers."""
        assert self.process is None or self.process.poll() is not None, "it runs already"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, self.program, "--config", self.config_file, *self.flags],
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **self.env},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, timeout: float = READY_TIMEOUT) -> None:
        """Return when the daemon answers a ping; fail when it ends instead."""

        def answers() -> bool:
            if self.process is not None and self.process.poll() is not None:
                raise RuntimeError(f"mgpud ended with {self.process.returncode}:\n{self.log()}")
            try:
                with Wire(self.socket, timeout=2.0) as wire:
                    return "ok" in wire.ask({"op": "ping"})[1]
            except (OSError, EOFError):
                return False

        try:
            eventually(answers, timeout=timeout, what="mgpud answers a ping")
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- log of mgpud:\n{self.log()}") from None

    def stop(self, sig: int = signal.SIGTERM, timeout: float = 10.0) -> int:
        """End mgpud with a signal and return its exit status; jobs go on."""
        assert self.process is not None
        self.process.send_signal(sig)
        return self.process.wait(timeout)

    def kill9(self) -> None:
        """SIGKILL the launcher; the scheduler notices and ends, jobs go on."""
        scheduler = self.scheduler_pid()
        self.stop(signal.SIGKILL)
        if scheduler is not None:
            eventually(lambda: not processes.alive(scheduler), what="the scheduler ends too")

    def kill9_scheduler(self) -> None:
        """SIGKILL the scheduler; the launcher starts another."""
        pid = self.scheduler_pid()
        assert pid is not None, "no scheduler runs"
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: self.scheduler_pid(), until=lambda new: new not in (None, pid))

    def restart(self) -> None:
        """Stop it, if it runs, and start it again on the same state."""
        if self.process is not None and self.process.poll() is None:
            self.stop()
        self.start()

    def close(self) -> None:
        """Stop everything; fail if it crashed or left a process or a cgroup behind."""
        problems = self._shut_down()
        for process in self._left_behind():
            problems.append(f"left behind: {process}")
            os.kill(process.pid, signal.SIGKILL)
        problems += [f"left behind: cgroup {group}" for group in cgroups.groups_of(self.name)]
        cgroups.remove(self.name)
        log = self.log()
        for path in (self.runtime, self.state):
            shutil.rmtree(path, ignore_errors=True)
        self.config_file.unlink(missing_ok=True)
        self._log.unlink(missing_ok=True)
        assert not problems, "\n".join([*problems, "--- log of mgpud:", log])

    def _shut_down(self) -> list[str]:
        if self.process is None:
            return []
        problems = []
        if self.process.poll() is not None and not self.allow_crash:
            problems.append(f"mgpud was not running any more: {self.process.returncode}")
        if self.process.poll() is None:
            problems += self._end_jobs()
            if (status := self.stop()) != 0:
                problems.append(f"mgpud ended with {status}")
        if "Traceback (most recent call last)" in self.log():
            problems.append("a traceback is in the log")
        return problems

    def _end_jobs(self) -> list[str]:
        try:
            active = [job["id"] for job in self.jobs()]
            if active:
                with Wire(self.admin_socket) as wire:
                    wire.ask({"op": "cancel", "jobs": active})
                eventually(self.jobs, until=lambda jobs: not jobs, timeout=20)
        except Exception as error:  # whatever it is, the rest of the cleaning must happen
            return [f"jobs could not be ended: {error!r}"]
        return []

    def _left_behind(self) -> list[processes.Process]:
        def left() -> list[processes.Process]:
            return processes.strangers(self._before)

        try:
            return eventually(left, until=lambda found: not found, timeout=5)
        except AssertionError:
            return left()

    def __enter__(self) -> Daemon:
        try:
            return self.start()
        except BaseException:
            self.allow_crash = True
            self.close()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # -------------------------------------------------------- what it is

    @property
    def socket(self) -> Path:
        """The users' socket."""
        return self.runtime / "mgpu.sock"

    @property
    def admin_socket(self) -> Path:
        """The administrators' socket."""
        return self.runtime / "admin.sock"

    @property
    def pid(self) -> int:
        """The launcher."""
        assert self.process is not None
        return self.process.pid

    def scheduler_pid(self) -> int | None:
        """The scheduler: the launcher's child that runs mgpu.daemon."""
        for process in processes.running().values():
            if process.parent == self.pid and "mgpu.daemon" in process.command:
                return process.pid
        return None

    def log(self) -> str:
        """What mgpud has written so far."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    # -------------------------------------------------------- commands

    def command(
        self, user: User, argv: Sequence[str], **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run one of mgpu's commands as ``user`` against this daemon; output is captured."""
        return run_as(
            user,
            [str(BIN / argv[0]), *argv[1:]],
            env={"MGPU_RUNTIME_DIR": str(self.runtime), **options.pop("env", {})},
            **options,
        )

    def popen(self, user: User, argv: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Like ``command``, but return at once."""
        env = {"MGPU_RUNTIME_DIR": str(self.runtime), **options.pop("env", {})}
        return subprocess.Popen(
            as_user(user, [str(BIN / argv[0]), *argv[1:]]),
            env={**user.environment(), **env},
            cwd=options.pop("cwd", user.home if user.uid else "/"),
            stdin=options.pop("stdin", subprocess.DEVNULL),
            stdout=options.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def srun(self, user: User, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run mgpu_srun as ``user`` whatever comes of it."""
        return self.command(user, ["mgpu_srun", *args], **options)

    def submit(self, user: User, *args: str, **options: Any) -> int:
        """Submit with mgpu_srun and return the job's id."""
        done = self.srun(user, "--parsable", *args, **options)
        assert done.returncode == 0, f"mgpu_srun: {done.returncode}\n{done.stdout}{done.stderr}"
        return int(done.stdout)

    def queue(self, user: User, *args: str, **options: Any) -> str:
        """What mgpu_queue prints for ``user``."""
        done = self.command(user, ["mgpu_queue", *args], **options)
        assert done.returncode == 0, f"mgpu_queue: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def cancel(self, user: User, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run mgpu_cancel as ``user``."""
        return self.command(user, ["mgpu_cancel", *args], **options)

    # -------------------------------------------------------- jobs

    def jobs(self, *args: str) -> list[dict[str, Any]]:
        """What ``mgpu_queue --json`` shows root: all active jobs, or those ``args`` select.

        It runs in this process: tests that wait ask very often.
        """
        words = ["--json", "--socket", str(self.admin_socket), *args]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            try:
                status = mgpu_queue.main(words, "mgpu_queue", standalone_mode=False)
            except (click.ClickException, MgpuError) as error:
                raise AssertionError(f"mgpu_queue {words}: {error}") from error
        assert not status, f"mgpu_queue {words}: status {status}"
        return rows(json.loads(said.getvalue()))

    def job(self, job: int) -> dict[str, Any]:
        """One job, also an ended one, as root sees it."""
        found = [row for row in self.jobs("--all", "--jobs", str(job)) if row["id"] == job]
        assert len(found) == 1, f"job {job}: {found}"
        return found[0]

    def wait_state(self, job: int, *states: str, timeout: float = 15.0) -> dict[str, Any]:
        """Wait until the job is in one of ``states`` and return it; any other end fails at once.

        One that runs has its process then: the queue calls it so from the decision on.
        """

        def there(row: dict[str, Any]) -> object:
            if row["state"] in ENDED and row["state"] not in states:
                raise RuntimeError(f"job {job} ended: {row}\n--- log of mgpud:\n{self.log()}")
            return row["state"] in states and (row["state"] != "RUNNING" or row["started"])

        try:
            return eventually(lambda: self.job(job), until=there, timeout=timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n--- log of mgpud:\n{self.log()}") from None

    def output(self, user: User, job: int) -> str:
        """What the job has written to its default log."""
        path = user.home / ".local/state/mgpu/logs" / f"{job}.log"
        return path.read_text(errors="replace") if path.exists() else ""


def rows(listing: Any) -> list[dict[str, Any]]:
    """The jobs in the JSON of mgpu_queue."""
    found: list[dict[str, Any]] = listing["jobs"] if isinstance(listing, dict) else listing
    return found


def to_toml(config: Config) -> str:
    """A small configuration as TOML: sections of plain values, lists and inline tables."""
    lines = []
    for section, values in config.items():
        lines.append(f"[{section}]")
        lines += [f"{key} = {toml_value(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def toml_value(value: object) -> str:
    """One TOML value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k} = {toml_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return json.dumps(value)
