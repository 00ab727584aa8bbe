"""msgpack within limits: each hostile shape is one typed error."""

from __future__ import annotations

import datetime
import tracemalloc

import msgpack
import pytest

from mgpu.model.errors import MgpuError
from mgpu.protocol.codec import pack, unpack_reply, unpack_request
from mgpu.protocol.names import MAX_DEPTH, MAX_NODES


def nested(depth: int) -> bytes:
    """A map and below it arrays, so that all containers together are ``depth`` deep."""
    return b"\x81\xa1a" + b"\x91" * (depth - 1) + b"\xc0"


def test_every_kind_of_value() -> None:
    value = {
        "none": None,
        "bool": [True, False],
        "int": [0, -1, 127, -128, 255, 65535, 2**32, -(2**63), 2**63 - 1],
        "float": [0.5, -1e300],
        "text": ["", "é", "x" * 40, "x" * 300, "x" * 70000],
        "blob": [b"", b"\xff", b"x" * 300, b"x" * 70000],
        "list": [[], list(range(20)), [0] * 2000],
        "map": [{}, {str(i): i for i in range(20)}],
    }
    assert unpack_request(pack(value)) == value
    assert unpack_reply(pack(value)) == value


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (nested(MAX_DEPTH + 1), "TooLarge", "nested deeper"),
        (nested(1000), "TooLarge", "nested deeper"),
        (pack({"a": [0] * MAX_NODES}), "TooLarge", "values in one request"),
        (b"\x81\xa1a\xdd\xff\xff\xff\xff", "TooLarge", "values in one request"),
        (b"\x81\xa1a\xdf\xff\xff\xff\xff", "TooLarge", "values in one request"),
        (b"\x81\xa1a\xd4\x01\x00", "BadRequest", "kind 0xd4"),
        (msgpack.packb(msgpack.ExtType(1, b"x" * 100)), "BadRequest", "not allowed"),
        (
            msgpack.packb(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), datetime=True),
            "BadRequest",
            "not allowed",
        ),
        (b"\xc1", "BadRequest", "kind 0xc1"),
        (b"\x82\xa1a\x01\xa1a\x02", "BadRequest", 'the key "a" occurs twice'),
        (b"\x81\x01\x01", "BadRequest", "not valid msgpack"),
        (b"\x81\xc4\x01a\x01", "BadRequest", "keys of a map are text"),
        (b"\x81\x90\x01", "BadRequest", "valid msgpack|keys of a map"),
        (b"\x81\xa1a\xa1\xff", "BadRequest", "UTF-8"),
        (b"\x81\xa1\xff\x01", "BadRequest", "UTF-8"),
        (b"\x81\xa1a\xa3\xed\xa0\x80", "BadRequest", "UTF-8"),
        (pack({"a": float("nan")}), "BadRequest", "NaN"),
        (pack({"a": [float("-inf")]}), "BadRequest", "NaN"),
        (b"\x81\xa1a\xca\x7f\x80\x00\x00", "BadRequest", "NaN"),
        (pack({"a": 2**63}), "BadRequest", "64 bits"),
        (b"\x81\xa1a\xcf\x80", "BadRequest", "64 bits"),
        (pack({"a": 1}) + b"\xc0", "BadRequest", "1 bytes after the end"),
        (pack({"a": "abc"})[:-1], "BadRequest", "ends in the middle"),
        (b"\x81\xa1a\xcb\x00", "BadRequest", "ends in the middle"),
        (b"\x81\xa1a\xdb\xff\xff\xff\xff", "BadRequest", "ends in the middle"),
        (b"\x82\xa1a\x01", "BadRequest", "ends in the middle"),
        (b"\x81\xa1a\xda\x01", "BadRequest", "ends in the middle"),
        (b"", "BadRequest", "ends in the middle"),
        (pack([1]), "BadRequest", "a request is a map"),
    ],
)
def test_refused(body: bytes, code: str, message: str) -> None:
    with pytest.raises(MgpuError, match=message) as caught:
        unpack_request(body)
    assert caught.value.code == code


def test_the_limits_themselves_pass() -> None:
    assert unpack_request(nested(MAX_DEPTH))
    assert unpack_request(pack({"a": [0] * (MAX_NODES - 3)}))


def test_a_hostile_frame_costs_no_memory() -> None:
    bombs = [b"\xdc\x27\x0f" * 300_000, b"\x90" * 1_000_000, b"\x9f" * 1_000_000]
    tracemalloc.start()
    try:
        for bomb in bombs:
            with pytest.raises(MgpuError):
                unpack_request(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", [{"a": "\udc80"}, {"a": object()}, {"a": 2**64}, {"a": {1, 2}}])
def test_what_cannot_be_packed(value: object) -> None:
    with pytest.raises(MgpuError) as caught:
        pack(value)
    assert caught.value.code == "BadRequest"


@pytest.mark.parametrize("body", [b"", b"\x81", b"\xc1", b"\x01", b"\x90", b"\xa1\xff"])
def test_an_unreadable_reply(body: bytes) -> None:
    with pytest.raises(MgpuError, match="server's answer") as caught:
        unpack_reply(body)
    assert caught.value.code == "Internal"
