"""What ``mgpud`` does: judge the settings, then become the launcher or another helper of root.

The launcher is root for as long as the machine runs, so it is a fresh interpreter that holds the
standard library and msgpack alone: what reads the configuration is gone when it begins.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import click
import msgpack

import mgpu
from mgpu.config import DEFAULT_PATH, ConfigError, machine
from mgpu.config.load import Resolved, config_file, resolve, resolve_good
from mgpu.config.reload import packed

#: Tells a service manager that starting again would not help (sysexits.h, EX_CONFIG).
_EXIT_CONFIG = 78


def start(config: str | None, given: Mapping[str, str | None]) -> NoReturn:
    """Judge the settings, ``given`` ones on the command line first, and become the launcher."""
    path = _path(config)
    settings = packed(_load(path, given, status=_EXIT_CONFIG), _named(path), given)
    if not _is_root():
        raise SystemExit(
            "mgpud: must be started by root, to start each job as the user it belongs to\n"
            "mgpud: try: sudo mgpud; or, to judge a configuration: mgpud check FILE"
        )
    _exec_launcher(settings)


def judge(file: str | None) -> None:
    """Tell every problem of a configuration file, and what this machine does not have of it."""
    path = Path(file) if file else config_file(None, os.environ) or Path(DEFAULT_PATH)
    resolved = _load(path, {}, env={})
    click.echo(f"{path}: good")
    for remark in (*machine.remarks(*resolved), *machine.webhooks(*resolved)):
        click.echo(f"mgpud: note: {remark}", err=True)


def end_jobs(config: str | None, *, stop: bool, timeout: int) -> NoReturn:
    """Become what ends all running jobs."""
    if not _is_root():
        raise SystemExit("mgpud: end-jobs must be started by root; your own: mgpu_cancel --me")
    _exec("ending", _settings(config), int(stop), timeout)


def hold_jobs(config: str | None) -> NoReturn:
    """Become what keeps the control group of jobs in being."""
    if not _is_root():
        raise SystemExit("mgpud: hold-jobs is for mgpu-jobs.service")
    _exec("holding", _settings(config))


def _exec_launcher(settings: Mapping[str, Any]) -> NoReturn:
    """Replace this process by the launcher; it reads the settings from a file in memory.

    ``config.path`` is the file they came from: the launcher checks once more that it can be
    trusted.

    The interpreter starts isolated (-I -S): no variable, no folder of a user and no site
    customisation decides what root executes; only the folders of this package and of msgpack do.
    """
    _exec("launcher", settings)


def _exec(module: str, settings: Mapping[str, Any], *numbers: int) -> NoReturn:
    """Become ``main`` of a module of ``mgpu.privileged``, in a fresh interpreter."""
    fd = os.memfd_create("mgpu-settings", 0)
    os.write(fd, msgpack.packb(dict(settings)))
    code = (
        f"import sys; sys.path += {_package_folders()!r}; "
        f"from mgpu.privileged.{module} import main; main(*map(int, sys.argv[1:]))"
    )
    words = map(str, (fd, *numbers))
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", code, *words])


def _settings(config: str | None) -> dict[str, Any]:
    """The settings of the daemon whose subcommand this is, as far as they are good.

    A file that somebody has just spoilt must not cost the jobs the time to save their state.
    """
    path = _path(config)
    found, problems = resolve_good(path, os.environ)
    _tell(problems)
    return packed(found, _named(path), {})


def _path(config: str | None) -> Path | None:
    return None if config is None else Path(config)


def _named(path: Path | None) -> str:
    return "" if path is None else str(path.absolute())


def _is_root() -> bool:
    return os.geteuid() == 0


def _package_folders() -> list[str]:
    folders = [Path(str(module.__file__)).resolve().parent.parent for module in (mgpu, msgpack)]
    return list(dict.fromkeys(map(str, folders)))


def _load(
    path: Path | None,
    flags: Mapping[str, str | None],
    env: Mapping[str, str] | None = None,
    *,
    status: int = 1,
) -> Resolved:
    try:
        return resolve(path, os.environ if env is None else env, flags)
    except ConfigError as error:
        _tell(error.problems)
        raise SystemExit(status) from error


def _tell(problems: Iterable[object]) -> None:
    for problem in problems:
        click.echo(f"mgpud: {problem}", err=True)
