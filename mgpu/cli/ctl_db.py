"""mgpu_ctl db: copies of the queue's database, made while it is in use, and put back."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from typing import IO, Any

import click

from mgpu.cli.base import CONTEXT, common_options, connect, emit
from mgpu.model.errors import MgpuError
from mgpu.model.units import quoted, visible


@click.group("db", context_settings=CONTEXT)
def db() -> None:
    """Back up, check and restore the queue's database."""


@db.command("backup", context_settings=CONTEXT)
@click.option("--to", "target", type=click.Path(), metavar="FILE",
              help="Write the copy there too; needs root.")  # fmt: skip
@common_options
def backup(target: str | None, socket: str | None, config: str | None) -> None:
    """Copy the database while it is in use, verify the copy, and say where it is.

    Copies are kept below the state folder, which root and the service's user can read: the newest
    five, and the newest of each of the last seven days that have one. Jobs and requests go on
    meanwhile.
    """
    if target is None:
        told = _asked(socket, config)
    else:
        from mgpu.config import load_settings

        service = _account(load_settings(config, os.environ)["access.service_user"])
        with _new(target) as file:
            told = _asked(socket, config)
            _copy(told["path"], service.pw_uid, file)
    emit(f"Copied to {visible(target or told['path'])}: {_holds(told)}")


def _asked(socket: str | None, config: str | None) -> dict[str, Any]:
    with connect(socket, config, admin=True) as client:
        return dict(client.request("backup", patient=True).body)


@db.command("check", context_settings=CONTEXT)
@common_options
def check(socket: str | None, config: str | None) -> None:
    """See whether the database is whole, while it is in use: a copy is made and looked at."""
    with connect(socket, config, admin=True) as client:
        told = client.request("backup", {"keep": False}, patient=True).body
    emit(f"The database is whole: {_holds(told)}")


@db.command("restore", context_settings=CONTEXT)
@click.argument("file", type=click.File("rb"))
@click.option("--state-dir", metavar="DIR", help="Where the state is, if not as configured.")
@click.option("--config", metavar="FILE", help="Configuration that says where the state is.")
def restore(file: IO[bytes], state_dir: str | None, config: str | None) -> None:
    """Put a copy in the place of the database. mgpud must be stopped, and it needs root.

    The copy is verified before. The present database is put aside under a dated name. What was
    submitted since the copy was made is gone, and numbers of jobs are given again.
    """
    from mgpu.config import load_settings

    if os.geteuid() != 0:
        hint = "try: sudo mgpu_ctl db restore FILE"
        raise MgpuError("Denied", "only root can restore the database", hint=hint)
    settings = load_settings(config, os.environ)
    told = _restore(file, state_dir or settings["paths.state_dir"], settings["access.service_user"])
    emit(f"Restored: {_holds(told)}")
    if "aside" in told:
        emit(f"The database that was there is {visible(told['aside'])} now")


def _restore(file: IO[bytes], state_dir: str, service: str) -> dict[str, Any]:
    """Do it as the service's user, to whom the folder belongs: root touches nothing in there."""
    import subprocess

    import msgpack

    from mgpu.system import clock
    from mgpu.system.process import command

    who = _account(service)
    argv = ["restore", state_dir, str(clock.now().wall), visible(file.name)]
    done = subprocess.run(
        command("mgpu.store.copying", f"main({argv!r})"),
        stdin=file,
        stdout=subprocess.PIPE,
        check=False,
        cwd="/",
        user=who.pw_uid,
        group=who.pw_gid,
        extra_groups=[],
    )
    if not done.stdout:
        raise MgpuError("Internal", f"the restore failed: its process ended with {done.returncode}")
    told: dict[str, Any] = msgpack.unpackb(done.stdout)
    if "error" in told:
        raise MgpuError("Refused", f"nothing was restored: {told['error']}", hint=told["hint"])
    return told


def _account(service: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(service)
    except KeyError:
        raise MgpuError("Refused", f"there is no user {service} (access.service_user)") from None


def _holds(told: dict[str, Any]) -> str:
    jobs, size = told["jobs"], told["bytes"]
    return f"{jobs} job record{'s' * (jobs != 1)}, {size} bytes, version {told['version']}"


@contextlib.contextmanager
def _new(target: str) -> Iterator[IO[bytes]]:
    """A file that was not there, made before anything is asked for; it goes where that fails."""
    if os.geteuid() != 0:
        hint = "leave out --to: the copy is kept below the state folder"
        raise MgpuError("Denied", "only root can write the copy to a file", hint=hint)
    try:
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        hint = "nothing was copied: name a file that is not there, in a folder that is"
        raise MgpuError("Refused", f"{target}: {error.strerror}", hint=hint) from error
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
    except BaseException:
        os.unlink(target)
        raise


def _copy(source: str, owner: int, file: IO[bytes]) -> None:
    """Copy a file of the service's user, who named it: it can be that of nobody else."""
    import shutil

    from mgpu.client.logs import open_regular

    try:
        fd = open_regular(source)
        if fd < 0:
            raise MgpuError("Refused", f"{quoted(source, 200)} is no regular file")
        with os.fdopen(fd, "rb") as taken:
            if os.fstat(fd).st_uid != owner:
                text = f"{quoted(source, 200)} does not belong to the service's user, who named it"
                raise MgpuError("Refused", text, hint="is the scheduler still what it should be?")
            shutil.copyfileobj(taken, file)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise MgpuError("Refused", f"{error.filename or file.name}: {error.strerror}") from error
