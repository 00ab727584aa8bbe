"""The requests as typed values; the golden bytes of each kind of message."""

from __future__ import annotations

import pytest

from mgpu.model.errors import MgpuError
from mgpu.protocol import messages, names
from mgpu.protocol.codec import pack, unpack_reply

SPEC = {"argv": [b"true"], "cwd": b"/"}
SUBMIT = {"op": "submit", "key": "k", "spec": SPEC}


def test_hello() -> None:
    assert messages.parse_hello({"mgpu": [1, 1]}) == 1
    assert messages.parse_hello({"mgpu": [0, 7]}) == 1


@pytest.mark.parametrize(
    ("hello", "code", "message"),
    [
        (
            {"mgpu": [2, 3]},
            "Version",
            "the scheduler is too old for this command: .* 2 to 3 .* 1 to 1",
        ),
        ({"mgpu": [0, 0]}, "Version", "this command is too old for the scheduler: .* 0 to 0"),
        ({"mgpu": [5, 1]}, "Version", "no range: .* 5 to 1"),
        ({"mgpu": [1]}, "BadRequest", "lowest and the highest version"),
        ({"mgpu": 1}, "BadRequest", "expected a list"),
        ({"mgpu": [1, 1, 1]}, "TooLarge", "3 items"),
        ({"op": "ping"}, "BadRequest", "unknown field"),
        ({}, "BadRequest", "lowest and the highest version"),
        ({"mgpu": [1, 1], "uid": 0}, "BadRequest", 'unknown field "uid"'),
    ],
)
def test_hello_refused(hello: dict[str, object], code: str, message: str) -> None:
    with pytest.raises(MgpuError, match=message) as caught:
        messages.parse_hello(hello)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"op": "ping"}, messages.Ping()),
        ({"op": "info"}, messages.Info()),
        ({"op": "cancel", "jobs": [3, 1]}, messages.Cancel((3, 1))),
        ({"op": "wait", "jobs": [2**63 - 1]}, messages.Wait((2**63 - 1,))),
        ({"op": "priority", "jobs": [1], "priority": -5}, messages.SetPriority((1,), -5)),
        ({"op": "depend", "jobs": [4], "dependency": "@"}, messages.Depend((4,), "@")),
        ({"op": "jobs"}, messages.ListJobs(None, (), (), (), ended=False, limit=0)),
        (
            {
                "op": "jobs",
                "scope": "me",
                "users": ["a"],
                "states": ["FAILED"],
                "jobs": [7],
                "ended": True,
                "limit": 9,
            },
            messages.ListJobs("me", ("a",), ("FAILED",), (7,), ended=True, limit=9),
        ),
    ],
)
def test_requests(request_: dict[str, object], expected: messages.Request) -> None:
    assert messages.parse_request(request_) == expected


def test_submit() -> None:
    request = messages.parse_request(SUBMIT | {"count": 10_000})
    assert isinstance(request, messages.Submit)
    assert (request.key, request.count, request.spec.name) == ("k", 10_000, "true")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({}, "op: is missing"),
        ({"op": 3}, "op: expected text, got 3"),
        ({"op": "halt"}, 'op: unknown operation "halt"'),
        ({"op": "ping", "x": 1}, 'unknown field "x"'),
        ({"op": "cancel"}, "jobs: names no job"),
        ({"op": "cancel", "jobs": []}, "jobs: names no job"),
        ({"op": "cancel", "jobs": [1.0]}, "jobs[0]: expected an integer, got 1.0"),
        ({"op": "cancel", "jobs": ["x"]}, 'jobs[0]: "x" names no job'),
        (
            {"op": "wait", "jobs": ["1_[5-1]"]},
            'jobs[0]: "5-1": "5-1" is not a range within 0 to 2147483647',
        ),
        ({"op": "update", "job": 1}, "max_concurrent: is missing"),
        (
            {"op": "update", "job": "1_2", "max_concurrent": 1},
            'job: expected an integer, got "1_2"',
        ),
        (
            {"op": "wait", "jobs": [0]},
            "jobs[0]: 0 is out of range; allowed are 1 to 9223372036854775807",
        ),
        ({"op": "wait", "jobs": [1] * 5001}, "jobs: 5001 items; at most 5000 are allowed"),
        ({"op": "priority", "jobs": [1]}, "priority: is missing"),
        (
            {"op": "priority", "jobs": [1], "priority": 1001},
            "priority: 1001 is out of range; allowed are -1000 to 1000",
        ),
        ({"op": "jobs", "scope": "us"}, 'scope: "us" is none of all, me'),
        ({"op": "jobs", "states": ["PD"]}, 'states[0]: "PD" is no state'),
        ({"op": "jobs", "users": ["a\0b"]}, "users[0]: contains a NUL character"),
        ({"op": "jobs", "limit": -1}, "limit: -1 is out of range; allowed are 0 to 100000"),
        (SUBMIT | {"key": ""}, "key: is empty"),
        (SUBMIT | {"key": None}, "key: is missing; it makes a repeated submission harmless"),
        (SUBMIT | {"key": "k" * 65}, "key: 65 characters; at most 64 are allowed"),
        (SUBMIT | {"count": 0}, "count: 0 is out of range; allowed are 1 to 100000"),
        (SUBMIT | {"spec": None}, "spec: is missing"),
        (SUBMIT | {"spec": []}, "spec: expected a map, got a list"),
    ],
)
def test_refused(request_: dict[str, object], message: str) -> None:
    with pytest.raises(MgpuError) as caught:
        messages.parse_request(request_)
    assert str(caught.value) == message


@pytest.mark.parametrize("op", names.OPERATIONS)
@pytest.mark.parametrize("field", ["uid", "user", "gid", "groups", "euid"])
@pytest.mark.parametrize("value", [0, "root", ""])
def test_identity_is_never_taken_from_a_message(op: str, field: str, value: object) -> None:
    valid: dict[str, dict[str, object]] = {
        "submit": {"key": "k", "spec": SPEC},
        "cancel": {"jobs": [1]},
        "wait": {"jobs": [1]},
        "priority": {"jobs": [1], "priority": 1},
        "update": {"job": 1, "max_concurrent": 1},
        "attach": {"job": 1},
        "depend": {"jobs": [1], "dependency": ""},
        "reserve": {"key": "k", "duration": 60},
        "unreserve": {"id": 1},
        "quota_set": {"subject": "user:ada"},
        "quota_remove": {"subject": "user:ada"},
        "signal": {"jobs": [1], "signal": 10},
        "alter": {"jobs": [1], "qos": "x"},
        "history": {"jobs": [1]},
        "stats": {"tables": ["total"]},
        "submission": {"jobs": ["42_7"]},
        "hold": {"jobs": [1]},
        "release": {"jobs": [1]},
        "cron_change": {"numbers": [1]},
        "gpu_drain": {"gpus": ["0"], "reason": "x"},
        "gpu_resume": {"gpus": ["0"]},
        "gpu_set": {"gpus": ["0"]},
        "gpu_ignore": {"pid": 1},
        "gpu_unignore": {"pid": 1},
        "gpu_simulate": {"gpu": "0"},
        "log_level": {"level": "info"},
        "machine_drain": {"reason": "x"},
        "shutdown": {"how": "now"},
        "requeue": {"jobs": [1]},
    }
    with pytest.raises(MgpuError, match=f'unknown field "{field}"'):
        messages.parse_request({"op": op, field: value, **valid.get(op, {})})


def test_all_operations_have_a_parser() -> None:
    assert tuple(messages._PARSERS) == names.OPERATIONS


@pytest.mark.parametrize(
    ("message", "golden"),
    [
        ({"mgpu": names.VERSIONS}, b"\x81\xa4mgpu\x92\x01\x01"),
        (messages.hello(1, "0.1.0"), b"\x82\xa4mgpu\x01\xa7version\xa50.1.0"),
        (messages.part({"rows": []}), b"\x81\xa4part\x81\xa4rows\x90"),
        (messages.ok({"first": 42, "count": 1}), b"\x81\xa2ok\x82\xa5first*\xa5count\x01"),
        (
            messages.error(MgpuError("Refused", "no", path="a", hint="b")),
            b"\x81\xa5error\x84\xa4code\xa7Refused\xa7message\xa2no\xa4path\xa1a\xa4hint\xa1b",
        ),
    ],
)
def test_golden_bytes(message: dict[str, object], golden: bytes) -> None:
    assert pack(message) == golden
    assert pack(unpack_reply(golden)) == golden
