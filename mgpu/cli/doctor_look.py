"""What mgpu_ctl doctor looks at on this machine, and how it tells of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import mgpu
from mgpu.cli import doctor as checks
from mgpu.cli.base import emit, emit_json
from mgpu.cli.ctl import connect_to_look
from mgpu.cli.doctor import FAIL, WARN, Finding
from mgpu.client.address import find
from mgpu.model.errors import MgpuError
from mgpu.model.units import visible


def examine(socket: str | None, config: str | None, *, as_json: bool) -> int:
    """Look, tell, and give the exit status."""
    found = [*_daemon(socket, config), *_machine(socket, config)]
    if all(finding.what != "processes" for finding in found):  # no daemon says how it does it
        found.append(checks.of_cgroups(Path("/proc/self/mountinfo").read_text(errors="replace")))
    if as_json:
        emit_json([finding._asdict() for finding in found])
    else:
        emit("\n".join(_lines(found)))
    return int(any(finding.level == FAIL for finding in found))


def _daemon(socket: str | None, config: str | None) -> Iterator[Finding]:
    try:
        with connect_to_look(socket, config) as client:
            info = client.request("info").body
    except MgpuError as error:
        yield Finding(FAIL, "daemon", str(error), error.hint or "start mgpud")
    else:
        yield from checks.of_daemon(info)


def _machine(socket: str | None, config: str | None) -> Iterator[Finding]:
    yield from checks.of_nodes()
    yield checks.of_logind()
    yield checks.of_accounts()
    yield from _helpers(config)
    package = os.path.dirname(os.path.abspath(mgpu.__file__))
    yield from checks.of_paths(sys.executable, package, *_runtime(socket, config), _file(config))


def _runtime(socket: str | None, config: str | None) -> list[str]:
    """The folder of the sockets; nothing where the configuration that tells it cannot be read."""
    try:
        return [os.path.dirname(find(socket, config).path)]
    except MgpuError:
        return []


def _file(config: str | None) -> str:
    """The configuration that mgpud would read, were it told as little as this command."""
    from mgpu.config.load import DEFAULT_PATH, config_file

    return str(config_file(config, os.environ) or DEFAULT_PATH)


def _helpers(config: str | None) -> Iterator[Finding]:
    from mgpu.config import ConfigError, load_settings

    try:
        settings = load_settings(config, os.environ)
    except ConfigError:
        remedy = f"mgpud check {_file(config)} says why"
        yield Finding(WARN, "configuration", "it cannot be used", remedy)
    else:
        yield from checks.of_helpers(settings)


def _lines(found: list[Finding]) -> Iterator[str]:
    width = max(len(finding.what) for finding in found)
    for finding in found:
        yield f"{finding.level:<4}  {visible(finding.what):<{width}}  {visible(finding.text)}"
        if finding.remedy:
            yield f"{'':<4}  {'':<{width}}  {visible(finding.remedy)}"
