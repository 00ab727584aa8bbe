"""What a submission may say, limit by limit (security: checks 19, 22, 46, 69)."""

from __future__ import annotations

import pytest

from mgpu.model.errors import MgpuError
from mgpu.protocol.codec import pack, unpack_reply, unpack_request
from mgpu.protocol.spec import LIMITS, parse_spec

MINIMAL: dict[str, object] = {"argv": [b"python", b"a b"], "cwd": b"/home/alice"}


def parsed(**members: object) -> dict[str, object]:
    """The payload of the minimal description with ``members``, after the way over the wire."""
    return unpack_reply(parse_spec(unpack_request(pack(MINIMAL | members)))[1])


def test_defaults() -> None:
    spec, payload = parse_spec(dict(MINIMAL))
    assert (spec.name, spec.command, spec.cwd) == ("python", "python 'a b'", "/home/alice")
    assert (spec.gpus, spec.gpu_mem, spec.exclusive, spec.time_limit) == (1, None, False, None)
    assert (spec.requeue, spec.signal, spec.priority) == (True, None, 0)
    assert unpack_reply(payload) == {
        "name": "python",
        "argv": [b"python", b"a b"],
        "script": None,
        "script_name": "",
        "env": [],
        "cwd": b"/home/alice",
        "output": None,
        "error": None,
        "open_mode": "append",
        "export_slurm": "configured",
        "umask": 0o022,
        "rlimits": [],
        "activate": {"mode": "auto", "path": b""},
    }


def test_everything() -> None:
    payload = parsed(
        argv=[b"\xff", b""],
        script=b"#!/bin/sh\necho \0\n",
        script_name="a.sh",
        name="nämé",
        gpus=0,
        env=[b"A=", b"_b1=x=\xff"],
        output=b"%j.log",
        error=b"/tmp/\xfe",
        open_mode="truncate",
        umask=0o77,
        rlimits=[[0, 5, -1], [7, 1, 1], [15, -1, -1]],
        activate={"mode": "conda", "path": b"my env"},
    )
    assert payload["argv"] == [b"\xff", b""]
    assert payload["rlimits"] == [[0, 5, -1], [7, 1, 1], [15, -1, -1]]
    assert payload["name"] == "nämé"


def test_what_is_shown_of_bytes_is_text_and_short() -> None:
    spec, _ = parse_spec({"argv": [b"/bin/\xff", b"x" * 5000], "cwd": b"/\xfe"})
    assert spec.name == "\\xff"
    assert spec.cwd == "/\\xfe"
    assert len(spec.command) == LIMITS.command_shown


def test_the_name_of_a_script() -> None:
    spec, _ = parse_spec(MINIMAL | {"script": b"#!/bin/sh", "script_name": "t.sh", "argv": [b"1"]})
    assert (spec.name, spec.command) == ("t.sh", "t.sh 1")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"argv": []}, "spec.argv: no command is given"),
        ({"argv": [b""]}, "spec.argv: no command is given"),
        ({"argv": ["python"]}, 'spec.argv[0]: expected bytes, got "python"'),
        ({"argv": [b"a", b"b\0c"]}, "spec.argv[1]: contains a NUL byte"),
        ({"argv": [b"x" * 200_000]}, "spec.argv[0]: 200000 bytes; at most 131072 are allowed"),
        (
            {"argv": [b"x" * 70_000] * 2},
            "spec.argv: the command has 140002 bytes; at most 131072 are allowed",
        ),
        ({"env": [b"=x"]}, 'spec.env[0]: "" is not the name of a variable followed by ='),
        ({"env": [b"A"]}, 'spec.env[0]: "A" is not the name of a variable followed by ='),
        (
            {"env": [b"A=1", b"B C=1"]},
            'spec.env[1]: "B C" is not the name of a variable followed by =',
        ),
        ({"env": [b"A=\0"]}, "spec.env[0]: contains a NUL byte"),
        ({"env": [b"A=1", b"A=2"]}, 'spec.env[1]: the variable "A" is given twice'),
        (
            {"env": [b"A%d=" % i + b"x" * 1000 for i in range(200)]},
            "spec.env: the environment has 201090 bytes; at most 131072 are allowed",
        ),
        ({"env": [b"\xff=1"]}, 'spec.env[0]: "\\xff" is not the name of a variable followed by ='),
        ({"script": b"echo"}, 'spec.script: does not begin with "#!" and an interpreter'),
        (
            {"script": b"#!" + b"x" * (768 << 10)},
            "spec.script: 786434 bytes; at most 786432 are allowed",
        ),
        ({"name": "x" * 129}, "spec.name: 129 characters; at most 128 are allowed"),
        ({"name": "a\0b"}, "spec.name: contains a NUL character"),
        ({"name": ""}, "spec.name: is empty"),
        ({"name": b"x"}, "spec.name: expected text, got bytes"),
        ({"cwd": None}, "spec.cwd: is missing"),
        ({"cwd": b"relative"}, 'spec.cwd: "relative" is not an absolute path'),
        ({"cwd": b"/a\0"}, "spec.cwd: contains a NUL byte"),
        ({"cwd": b"/" * 5000}, "spec.cwd: 5000 bytes; at most 4095 are allowed"),
        ({"output": b""}, "spec.output: is empty"),
        ({"error": b"a\0"}, "spec.error: contains a NUL byte"),
        ({"open_mode": "w"}, 'spec.open_mode: "w" is none of append, truncate'),
        ({"umask": 0o1000}, "spec.umask: 512 is out of range; allowed are 0 to 511"),
        ({"rlimits": [[16, 0, 0]]}, "spec.rlimits[0]: 16 is out of range; allowed are 0 to 15"),
        (
            {"rlimits": [[0, 1]]},
            "spec.rlimits[0]: expected a list of resource, soft limit, hard limit",
        ),
        ({"rlimits": [[0, 2, 1]]}, "spec.rlimits[0]: the soft limit 2 is above the hard limit 1"),
        ({"rlimits": [[0, -1, 1]]}, "spec.rlimits[0]: the soft limit -1 is above the hard limit 1"),
        ({"rlimits": [[0, 1, 1]] * 2}, "spec.rlimits: a resource is given twice"),
        ({"gpus": "two"}, 'spec.gpus: expected an integer, got "two"'),
        ({"gpus": True}, "spec.gpus: expected an integer, got true"),
        ({"gpus": -1}, "spec.gpus: -1 is out of range; allowed are 0 to 1024"),
        ({"gpus": 1.0}, "spec.gpus: expected an integer, got 1.0"),
        ({"gpu_mem": 0}, "spec.gpu_mem: 0 is out of range; allowed are 1 to 1073741824"),
        (
            {"gpu_mem": 2**63 - 1},
            "spec.gpu_mem: 9223372036854775807 is out of range; allowed are 1 to 1073741824",
        ),
        ({"time_limit": -1}, "spec.time_limit: -1 is out of range; allowed are 0 to 3153600000"),
        ({"requeue": 1}, "spec.requeue: expected true or false, got 1"),
        ({"exclusive": "no"}, 'spec.exclusive: expected true or false, got "no"'),
        ({"priority": 1001}, "spec.priority: 1001 is out of range; allowed are -1000 to 1000"),
        (
            {"signal": [10]},
            "spec.signal: expected a list of signal (1 to 64) and seconds (1 to 65535)",
        ),
        (
            {"signal": [65, 60]},
            "spec.signal: expected a list of signal (1 to 64) and seconds (1 to 65535)",
        ),
        ({"signal": [10, 0]}, "spec.signal[1]: 0 is out of range; allowed are 1 to 65535"),
        ({"activate": {"mode": "x"}}, 'spec.activate.mode: "x" is none of auto, none, venv, conda'),
        ({"activate": {"mode": "venv"}}, "spec.activate.path: is missing; mode venv needs it"),
        (
            {"activate": {"mode": "venv", "path": b"v"}},
            'spec.activate.path: "v" is not an absolute path',
        ),
        ({"activate": {"mode": "auto", "user": "x"}}, 'spec.activate: unknown field "user"'),
        (
            {"gpus": 0, "gpu_mem": 3072},
            "spec.gpus: asks for no GPU, and for memory of it or for it alone",
        ),
        (
            {"gpus": 0, "exclusive": True},
            "spec.gpus: asks for no GPU, and for memory of it or for it alone",
        ),
        ({"uid": 0}, 'spec: unknown field "uid"'),
        ({"user": "root"}, 'spec: unknown field "user"'),
        ({"user": ""}, 'spec: unknown field "user"'),
        ({"gid": 0}, 'spec: unknown field "gid"'),
    ],
)
def test_refused(members: dict[str, object], message: str) -> None:
    with pytest.raises(MgpuError) as caught:
        parsed(**members)
    assert str(caught.value) == message
    assert caught.value.code in ("BadRequest", "TooLarge")


@pytest.mark.parametrize("text", ["'; drop table jobs", '"', "%s%n", "_%", "; rm -rf /", "$(id)"])
def test_text_is_taken_literally(text: str) -> None:
    assert parsed(name=text)["name"] == text


def test_the_limits_themselves_pass() -> None:
    parsed(argv=[b"x" * (LIMITS.argv - 1)], env=[b"A=" + b"x" * (LIMITS.env - 3)], name="n" * 128)
    parsed(script=b"#!" + b"x" * (LIMITS.script - 2))
