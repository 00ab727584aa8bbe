"""mgpu_ctl doctor: what is not as it should be on this machine, and what to do about it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

import mgpu
from mgpu.cli import doctor as checks
from mgpu.cli.base import CONTEXT, common_options, emit
from mgpu.cli.ctl import connect_to_look
from mgpu.cli.doctor import FAIL, WARN, Finding
from mgpu.client.address import find
from mgpu.model.errors import MgpuError
from mgpu.model.units import visible

_CONFIG = "/etc/mgpu/config.toml"


@click.command("doctor", context_settings=CONTEXT)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@common_options
def doctor(*, as_json: bool, socket: str | None, config: str | None) -> int:
    """Look for what is not as it should be, and say what to do about it.

    It changes nothing. The exit status is 1 where something has to be done.
    """
    found = [*_daemon(socket, config), *_machine(socket, config)]
    if all(finding.what != "processes" for finding in found):  # no daemon says how it does it
        found.append(checks.of_cgroups(Path("/proc/self/mountinfo").read_text(errors="replace")))
    if as_json:
        import json

        emit(json.dumps([finding._asdict() for finding in found], indent=1))
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
    yield from _helpers(config)
    runtime = os.path.dirname(find(socket, config).path)
    package = os.path.dirname(os.path.abspath(mgpu.__file__))
    yield from checks.of_paths(sys.executable, package, runtime, config or _CONFIG)


def _helpers(config: str | None) -> Iterator[Finding]:
    from mgpu.config import ConfigError, load_settings

    try:
        settings = load_settings(config, os.environ)
    except ConfigError:
        file = config or os.environ.get("MGPU_CONFIG") or _CONFIG
        yield Finding(WARN, "configuration", "it cannot be used", f"mgpud check {file} says why")
    else:
        yield from checks.of_helpers(settings)


def _lines(found: list[Finding]) -> Iterator[str]:
    width = max(len(finding.what) for finding in found)
    for finding in found:
        yield f"{finding.level:<4}  {visible(finding.what):<{width}}  {visible(finding.text)}"
        if finding.remedy:
            yield f"{'':<4}  {'':<{width}}  {visible(finding.remedy)}"
