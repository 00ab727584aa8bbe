"""The protocol under arbitrary input: what goes in comes out, and garbage is one typed error."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgpu.model import units
from mgpu.model.errors import EXIT_STATUS, MgpuError
from mgpu.protocol import messages
from mgpu.protocol.codec import pack, unpack_reply, unpack_request
from mgpu.protocol.frames import FrameDecoder, frame
from mgpu.protocol.spec import parse_spec

FAST = settings(max_examples=60, derandomize=True, database=None, deadline=None)
SEED, MUTANTS = 20, 10_000

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.binary(max_size=300)
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)  # fmt: skip
BYTES = st.binary(min_size=1, max_size=30).filter(lambda word: b"\0" not in word)


@FAST
@given(st.dictionaries(TEXT, VALUES, max_size=6))
def test_a_value_survives_the_way(value: dict[str, object]) -> None:
    assert unpack_request(pack(value)) == value
    assert unpack_reply(pack(value)) == value


@FAST
@given(st.lists(st.binary(min_size=1, max_size=60), max_size=8), st.randoms(use_true_random=False))
def test_frames_survive_any_cut(bodies: list[bytes], chance: random.Random) -> None:
    stream = b"".join(map(frame, bodies))
    decoder, seen = FrameDecoder(), []
    while stream:
        size = chance.randint(1, len(stream))
        seen += decoder.feed(stream[:size])
        stream = stream[size:]
    assert seen == bodies
    assert decoder.buffered == 0


@FAST
@given(
    argv=st.lists(BYTES, min_size=1, max_size=6),
    env=st.dictionaries(st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,8}\Z"), BYTES, max_size=6),
    cwd=BYTES,
    name=st.none() | TEXT.filter(lambda text: text and "\0" not in text),
)
def test_a_payload_holds_what_was_submitted(
    argv: list[bytes], env: dict[str, bytes], cwd: bytes, name: str | None
) -> None:
    entries = [key.encode() + b"=" + value for key, value in env.items()]
    wire = {"argv": argv, "env": entries, "cwd": b"/" + cwd, "name": name}
    spec, payload = parse_spec(unpack_request(pack(wire)))
    held = unpack_reply(payload)
    assert (held["argv"], held["env"], held["cwd"]) == (argv, entries, b"/" + cwd)
    assert held["name"] == spec.name
    assert 1 <= len(spec.name) <= 128
    pack([spec.name, spec.command, spec.cwd])  # what is shown is always text


@FAST
@given(st.binary(max_size=200))
def test_arbitrary_bytes(body: bytes) -> None:
    _judge(body)


def _judge(stream: bytes) -> None:
    """Read ``stream`` as the server does; anything but a result or an MgpuError fails."""
    fault = None
    try:
        for body in FrameDecoder().feed(stream):
            message = unpack_request(body)
            messages.parse_request(message)
    except MgpuError as error:
        fault = error
    if fault is not None:
        assert fault.code in EXIT_STATUS
        assert str(fault).isprintable()
        pack(messages.error(fault))


VALID: list[dict[str, object]] = [
    {"op": "ping"},
    {"op": "jobs", "scope": "me", "users": ["alice"], "states": ["PENDING"], "limit": 10},
    {"op": "cancel", "jobs": [1, 2, 300, 70_000]},
    {
        "op": "submit",
        "key": "0123456789abcdef",
        "count": 3,
        "spec": {
            "argv": [b"python", b"train.py"],
            "script": None,
            "name": "train",
            "gpus": 2,
            "gpu_mem": 8000,
            "signal": [10, 60],
            "cwd": b"/home/alice",
            "env": [b"PATH=/usr/bin:/bin", b"LANG=C.UTF-8"],
            "umask": 0o022,
            "rlimits": [[7, 1024, -1]],
            "activate": {"mode": "venv", "path": b"/home/alice/venv"},
        },
    },
]


def _mutated(stream: bytes, chance: random.Random) -> bytes:
    mutant = bytearray(stream)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(mutant))
        kind = chance.randrange(4)
        if kind == 0:
            mutant[at] = chance.randrange(256)
        elif kind == 1:
            mutant[at] ^= 1 << chance.randrange(8)
        elif kind == 2:
            mutant[at:at] = chance.randbytes(chance.randint(1, 5))
        elif len(mutant) > 8:
            del mutant[at : at + chance.randint(1, 5)]
    return bytes(mutant)


@pytest.mark.parametrize("whole_frame", [True, False])
def test_mutated_frames(*, whole_frame: bool) -> None:
    """Half of them keep a true length, so that the mutation reaches codec and parsers."""
    chance = random.Random(SEED)
    bodies = [pack(message) for message in VALID]
    for _ in range(MUTANTS // 2):
        body = chance.choice(bodies)
        mutant = _mutated(frame(body), chance) if whole_frame else frame(_mutated(body, chance))
        _judge(mutant)


@FAST
@given(st.text(max_size=12))
def test_what_people_type_is_a_value_or_a_value_error(text: str) -> None:
    for parse in (units.parse_memory, units.parse_duration, units.parse_slurm_time):
        with suppress(ValueError):
            assert 0 <= parse(text) <= max(units.MAX_MEMORY, units.MAX_SECONDS)


@FAST
@given(st.integers(0, units.MAX_SECONDS))
def test_a_duration_that_is_shown_can_be_typed(seconds: int) -> None:
    assert units.parse_duration(units.format_duration(seconds)) == seconds


@FAST
@given(st.text())
def test_visible_text_is_printable(text: str) -> None:
    assert units.visible(text).isprintable()
