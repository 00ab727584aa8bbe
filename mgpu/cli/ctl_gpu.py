"""mgpu_ctl drain, resume, set-gpus, show-gpus, gpu: which GPUs are given out, who else is there."""

from __future__ import annotations

from typing import Any

import click

from mgpu.cli.base import CONTEXT, common_options, connect, emit, emit_json, table, user_name
from mgpu.cli.ctl import connect_to_look
from mgpu.cli.lazy import Words
from mgpu.cli.moments import written
from mgpu.cli.params import JSON, MEMORY, Parsed, words
from mgpu.cli.zone import timezone_option
from mgpu.model.units import format_memory, parse_memory, quoted, visible

Row = dict[str, Any]


def _words(gpus: tuple[str, ...]) -> list[str]:
    """The GPUs of ``0 gpu1`` and ``0,1``."""
    return words(",".join(gpus))


def _names(key: str) -> str:
    return visible(key.replace(",", ", "))


# -- which GPUs are used --------------------------------------------------------------------------


@click.command("drain", context_settings=CONTEXT)
@click.argument("gpus", nargs=-1, metavar="[GPU]...")
@click.option("--reason", required=True, metavar="TEXT", help="Why, for those who wonder.")
@common_options
def drain(gpus: tuple[str, ...], reason: str, socket: str | None, config: str | None) -> None:
    """Start nothing new on these GPUs until they are resumed; what runs goes on.

    Without a GPU the whole machine is drained: no job is started, also none without GPUs.

    A GPU is 0, gpu0, 0-3, its UUID or the beginning of it. All instances of a MIG GPU are drained
    by its UUID.
    """
    with connect(socket, config, admin=True) as client:
        if not gpus:
            client.request("machine_drain", {"reason": reason})
            emit("Drained the machine")
            return
        key = client.request("gpu_drain", {"gpus": _words(gpus), "reason": reason}).body["key"]
    emit(f"Drained {_names(key)}")


@click.command("resume", context_settings=CONTEXT)
@click.argument("gpus", nargs=-1, metavar="[GPU]...")
@common_options
def resume(gpus: tuple[str, ...], socket: str | None, config: str | None) -> None:
    """Give GPUs out again that were drained, had a fault or are dirty.

    A GPU that was drained and has a fault besides stays drained for its fault: resume it once more
    when it is repaired. One that is dirty because of memory in use is given out with that memory.

    Without a GPU the drain of the whole machine is lifted; single GPUs stay as they are.
    """
    with connect(socket, config, admin=True) as client:
        if not gpus:
            client.request("machine_resume")
            emit("Resumed the machine")
            return
        body = client.request("gpu_resume", {"gpus": _words(gpus)}).body
    emit("\n".join([f"Resumed {_names(body['key'])}", *_lines(body.get("note", ""))]))


def _lines(note: str) -> list[str]:
    """What the scheduler adds to its answer."""
    return [visible(line) for line in note.splitlines()]


@click.command("set-gpus", context_settings=CONTEXT)
@click.argument("gpus", metavar="0-1,3|all")
@common_options
def set_gpus(gpus: str, socket: str | None, config: str | None) -> None:
    """Start new jobs on these GPUs alone; what runs on others goes on.

    It goes before mgpud --gpus, MGPU_GPUS_DEVICES and gpus.devices, and is kept over restarts. With
    all it is lifted, and those hold again.
    """
    with connect(socket, config, admin=True) as client:
        key = client.request("gpu_set", {"gpus": _words((gpus,))}).body["key"]
    emit("New jobs start where the configuration allows it" if key == "all" else
         f"New jobs start on {_names(key)} alone")  # fmt: skip


@click.command("show-gpus", context_settings=CONTEXT)
@JSON
@timezone_option
@common_options
def show_gpus(*, as_json: bool, socket: str | None, config: str | None) -> None:
    """Show which GPUs jobs are started on, and why not on the others."""
    with connect_to_look(socket, config) as client:
        body = client.request("gpu_list").body
    if as_json:
        emit_json({"gpus": body["gpus"], "restriction": body["restriction"]})
        return
    lines = [("GPU", "NAME", "USED", "WHY NOT"), *map(_gpu_cells, body["gpus"])]
    emit("\n".join([*table(lines), *_restriction(body["restriction"])]))


def _gpu_cells(gpu: Row) -> tuple[str, ...]:
    used = "soon" if gpu["state"] == "cleaning" else "yes" if gpu["available"] else "no"
    return (f"gpu{gpu['index']}", visible(gpu["name"]), used, "; ".join(_why(gpu)) or "-")


def _why(gpu: Row) -> list[str]:
    """What is wrong with it, then what is ordered."""
    drain, found = gpu["drain"], []
    ordered = gpu["state"] == "restricted" or (drain and gpu["note"].startswith(_note_of(drain)))
    if gpu["note"] and not ordered:
        found.append(visible(gpu["note"]))
    if not gpu["allowed"]:
        found.append("not among the GPUs that mgpu may use")
    if drain:
        who = "mgpu" if drain["fault"] else visible(user_name(drain["by"]))
        since = written(drain["at"], None)
        found.append(f"drained by {who} since {since}: {visible(drain['reason'])}")
        if drain.get("broken"):
            found.append(f"reported {visible(drain['broken'])}")
    elif gpu["fault"]:
        found.append(f"resumed in spite of {visible(gpu['fault'])}")
    return found


def _note_of(drain: Row) -> str:
    return f"drained: {drain['reason']}"


def _restriction(known: Row | None) -> list[str]:
    if known is None:
        return []
    names = ", ".join(f"gpu{index}" for index in known["gpus"]) or "none"
    if known["by"] is None:
        return [f"mgpu may use {names}: gpus.devices, MGPU_GPUS_DEVICES or mgpud --gpus says so."]
    return [
        f"mgpu may use {names}: {visible(user_name(known['by']))} said so with mgpu_ctl set-gpus."
    ]


# -- processes outside mgpu -----------------------------------------------------------------------


@click.group("gpu", cls=Words, context_settings=CONTEXT)
def gpu() -> None:
    """See and judge processes that use GPUs and that mgpu did not start."""


@gpu.command("list", context_settings=CONTEXT)
@JSON
@timezone_option
@common_options
def list_(*, as_json: bool, socket: str | None, config: str | None) -> None:
    """List the processes that use GPUs and belong to no job."""
    with connect_to_look(socket, config) as client:
        found = client.request("gpu_processes").body["processes"]
    if as_json:
        emit_json({"processes": found})
        return
    header = ("PID", "USER", "GPU", "MEMORY", "SINCE", "IGNORED")
    emit("\n".join(table([header, *map(_process_cells, found)], {"PID", "MEMORY"})))


def _process_cells(row: Row) -> tuple[str, ...]:
    return (
        str(row["pid"]),
        visible(user_name(row["uid"])) if row["uid"] >= 0 else "?",
        f"gpu{row['gpu']}",
        format_memory(row["memory"]) if row["memory"] >= 0 else "?",
        written(row["since"], None) if row["since"] else "?",
        "yes" if row["ignored"] else "no",
    )


@gpu.command("ignore", context_settings=CONTEXT)
@click.argument("pid", type=click.IntRange(1), metavar="PID")
@common_options
def ignore(pid: int, socket: str | None, config: str | None) -> None:
    """Let process PID not keep jobs off its GPUs, until it ends. What it uses stays subtracted."""
    with connect(socket, config, admin=True) as client:
        client.request("gpu_ignore", {"pid": pid})
    emit(f"Ignoring process {pid}")


@gpu.command("unignore", context_settings=CONTEXT)
@click.argument("pid", type=click.IntRange(1), metavar="PID")
@common_options
def unignore(pid: int, socket: str | None, config: str | None) -> None:
    """Let process PID count again."""
    with connect(socket, config, admin=True) as client:
        client.request("gpu_unignore", {"pid": pid})
    emit(f"Process {pid} counts again")


# -- simulated GPUs -------------------------------------------------------------------------------


def _process(text: str) -> tuple[int, int]:
    pid, colon, size = text.partition(":")
    if not (colon and pid.isascii() and pid.isdecimal() and len(pid) < 10):
        raise ValueError(f"{quoted(text)} is no process; write PID:SIZE, as 4242:8G")
    return int(pid), parse_memory(size)


PROCESS = Parsed("process", _process)


@gpu.command("simulate", context_settings=CONTEXT)
@click.argument("name", metavar="GPU")
@click.option("--used", type=MEMORY, metavar="SIZE", help="So much is in use by nobody known.")
@click.option("--process", "processes", type=PROCESS, multiple=True, metavar="PID:SIZE",
              help="This process of the machine uses so much; may be repeated.")  # fmt: skip
@click.option("--utilization", type=click.IntRange(0, 100), metavar="PERCENT",
              help="It is busy for so much of the time.")  # fmt: skip
@click.option("--fault", metavar="TEXT", help="It reports this error.")
@click.option("--hang", is_flag=True, help="It does not answer.")
@click.option("--well", is_flag=True, help="As it was configured again.")
@common_options
def simulate(name: str, socket: str | None, config: str | None, **options: Any) -> None:
    """Let something happen to a simulated GPU, to see what mgpu makes of it."""
    with connect(socket, config, admin=True) as client:
        key = client.request("gpu_simulate", {"gpu": name, **_facts(options)}).body["key"]
    emit(f"Told {_names(key)}")


def _facts(options: dict[str, Any]) -> Row:
    """What is to change; nothing else is named."""
    facts: Row = {}
    if options["well"]:
        facts = {"used": -1, "processes": [], "utilization": -1, "fault": "", "hang": False}
    for word in ("used", "utilization", "fault"):
        if options[word] is not None:
            facts[word] = options[word]
    if options["processes"]:
        facts["processes"] = [list(process) for process in options["processes"]]
    if options["hang"]:
        facts["hang"] = True
    if not facts:
        raise click.UsageError("say what is to happen: --used, --process, --utilization, --fault, "
                               "--hang or --well")  # fmt: skip
    return facts
