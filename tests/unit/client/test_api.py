"""mgpu.Client: what it sends, and what it makes of the answers."""

from __future__ import annotations

import os

import pytest

import mgpu
from mgpu.client.views import JobEnd, JobView
from mgpu.model.errors import MgpuError
from mgpu.protocol import messages, names
from mgpu.protocol.codec import pack, unpack_request
from tests.lib.fake_server import FakeServer, HangUp, Message

ROW = [7, None, "bob", "RUNNING", "", None, 1.5, 2.5, None, 60.0, 600, 1, 8000, [0], 0, 0, 1]
ROW += [None, None, None, None, False, True, False]
ROW += [""] * (len(names.JOB_FIELDS) - len(ROW))


def one_answer(path: str, *answer: Message) -> tuple[FakeServer, mgpu.Client]:
    return FakeServer(path, lambda _: answer), mgpu.Client(path)


def test_a_minimal_submission_is_a_valid_request(path: str) -> None:
    server, client = one_answer(path, {"ok": {"first": 42, "count": 1}})
    with server, client:
        assert client.submit(["python", b"tr\xff.py"]) == 42
    request = messages.parse_request(unpack_request(pack(server.requests[0])))
    assert isinstance(request, messages.Submit)
    assert (request.count, request.spec.gpus, request.spec.name) == (1, 1, "python")
    assert os.fsencode(os.getcwd()) == os.fsencode(request.spec.cwd)


def test_a_full_submission(path: str) -> None:
    server, client = one_answer(path, {"ok": {"first": 42, "count": 3}})
    with server, client:
        client.submit(
            ["1"],
            gpus=2,
            gpu_mem="8G",
            exclusive=True,
            time_limit="2h30m",
            name="n",
            cwd="/x",
            output="o",
            error=b"e",
            open_mode="truncate",
            env={"A": "1", "bad name": "2"},
            requeue=False,
            signal=(10, 60),
            priority=-3,
            script=b"#!/bin/sh\n",
            script_name="s.sh",
            activate=False,
            count=3,
            key="key",
        )
    sent = server.requests[0]
    spec = sent["spec"]
    assert isinstance(spec, dict)
    assert (sent["key"], sent["count"]) == ("key", 3)
    assert (spec["gpu_mem"], spec["time_limit"], spec["env"]) == (8192, 9000, [b"A=1"])
    assert (spec["output"], spec["error"], spec["cwd"]) == (b"o", b"e", b"/x")
    request = messages.parse_request(unpack_request(pack(sent)))
    assert isinstance(request, messages.Submit)
    assert (request.spec.signal, request.spec.requeue) == ((10, 60), False)


def test_each_submission_has_its_own_key(path: str) -> None:
    server, client = one_answer(path, {"ok": {"first": 1, "count": 1}})
    with server, client:
        client.submit(["a"])
        client.submit(["a"])
    keys = {request["key"] for request in server.requests}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("wrong", "path_"), [({"gpu_mem": "8X"}, "gpu_mem"), ({"time_limit": "soon"}, "time_limit")]
)
def test_a_bad_value_is_said_before_anything_is_sent(wrong: dict[str, str], path_: str) -> None:
    with pytest.raises(MgpuError) as caught:
        mgpu.Client("/none").submit(["a"], **wrong)  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.path) == ("BadRequest", path_)


def test_jobs(path: str) -> None:
    parts: list[Message] = [{"part": {"fields": list(names.JOB_FIELDS), "rows": [ROW]}}]
    parts += [{"part": {"rows": [ROW]}}, {"ok": {"count": 2}}]
    server, client = one_answer(path, *parts)
    with server, client:
        jobs = client.jobs(scope="me", states=["RUNNING"], jobs=[7], limit=5)
    assert jobs == [JobView._make(ROW)] * 2
    assert (jobs[0].user, jobs[0].gpu_ids, jobs[0].name) == ("bob", [0], None)
    request = messages.parse_request(server.requests[0])
    assert request == messages.ListJobs("me", (), ("RUNNING",), (7,), ended=False, limit=5)


def test_jobs_of_a_server_with_other_columns(path: str) -> None:
    fields = ["new", *reversed(names.JOB_FIELDS)]
    row = [None, *reversed(ROW)]
    server, client = one_answer(path, {"part": {"fields": fields, "rows": [row]}}, {"ok": {}})
    with server, client:
        assert client.jobs() == [JobView._make(ROW)]


def test_no_jobs(path: str) -> None:
    server, client = one_answer(path, {"ok": {"count": 0}})
    with server, client:
        assert client.jobs() == []


def test_cancel_in_batches(path: str) -> None:
    def answer(request: Message) -> list[Message]:
        jobs = request["jobs"]
        assert isinstance(jobs, list)
        return [{"ok": {"jobs": [[job, "cancelled"] for job in jobs]}}]

    with FakeServer(path, answer) as server, mgpu.Client(path) as client:
        outcome = client.cancel(*range(1, names.MAX_IDS + 3))
    assert len(outcome) == names.MAX_IDS + 2
    assert [unpack_request(pack(request)) for request in server.requests] == server.requests
    assert len(server.requests) == 2


def test_wait_goes_on_after_a_break(path: str) -> None:
    def answer(_: Message) -> list[Message]:
        if len(server.requests) == 1:
            raise HangUp
        ends: list[Message] = [{"part": {"job": [1, "COMPLETED", 0, None]}}]
        return [*ends, {"part": {"job": [2, "FAILED", None, 9]}}, {"ok": {}}]

    with FakeServer(path, answer) as server, mgpu.Client(path) as client:
        ends = client.wait(1, 2)
    assert ends == {1: JobEnd("COMPLETED", 0, None), 2: JobEnd("FAILED", None, 9)}
    assert [end.exit_status for end in ends.values()] == [0, 137]
    assert JobEnd("CANCELLED", None, None).exit_status == 1
    assert JobEnd("TIMEOUT", 0, None).exit_status == 1


def test_info(path: str) -> None:
    gpu = {"index": 0, "uuid": "G", "name": "A", "total": 9, "outside": 1, "reserved": 2}
    gpu |= {"free": 6, "available": True, "note": "", "jobs": [[7, "bob", None, 1.0, "RUNNING"]]}
    body = {"backend": "nvml", "version": "1", "gpus": [gpu | {"new": 1}], "pending": 1}
    server, client = one_answer(path, {"ok": body | {"running": 2, "new": 3}})
    with server, client:
        machine = client.info()
    assert (machine.backend, machine.pending, machine.running) == ("nvml", 1, 2)
    assert machine.gpus[0].jobs[0].user == "bob"
    assert machine.gpus[0].jobs[0].gpu_mem is None


def test_ping(path: str) -> None:
    health = {"version": "1", "uptime": 3.0, "backend": "nvml", "mode": "normal", "detail": ""}
    server, client = one_answer(path, {"ok": health})
    with server, client:
        assert client.ping().mode == "normal"


def test_priority(path: str) -> None:
    server, client = one_answer(path, {"ok": {"jobs": [[1, "changed"], [2, "changed"]]}})
    with server, client:
        client.set_priority(5, 1, 2)
    assert messages.parse_request(server.requests[0]) == messages.SetPriority((1, 2), 5)


def test_a_priority_that_is_not_changed_is_an_error(path: str) -> None:
    told = [[1, "changed"], [2, "unknown"], [3, "started"]]
    server, client = one_answer(path, {"ok": {"jobs": told}})
    with server, client, pytest.raises(MgpuError, match="job 2: unknown; job 3: started"):
        client.set_priority(5, 1, 2, 3)


def test_public_names() -> None:
    assert mgpu.Client.__module__.startswith("mgpu.client")
    assert mgpu.MgpuError is MgpuError
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mgpu.nothing
