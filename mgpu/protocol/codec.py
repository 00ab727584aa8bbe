"""msgpack, wrapped once: what a stranger sends is checked before an object is made of it.

A request goes through a scan of its raw bytes (depth, number of values, kinds, numbers) and only
then through msgpack; so hostile bytes cost neither memory nor a surprise in a type.
"""

from __future__ import annotations

import msgpack

from mgpu.model.errors import MgpuError

#: What a frame holds after decoding: None, bool, int, float, str, bytes, list or dict[str, ...].
Value = object


def pack(value: Value) -> bytes:
    """``value`` as msgpack; text that is not Unicode (a lone surrogate) is BadRequest."""
    try:
        body: bytes = msgpack.packb(value)
    except UnicodeEncodeError as error:
        raise MgpuError("BadRequest", "text is not valid UTF-8") from error
    except (OverflowError, TypeError, ValueError) as error:
        raise MgpuError("BadRequest", f"cannot be sent: {error}") from error
    return body


def unpack_reply(body: bytes) -> dict[str, Value]:
    """A map from a server that is trusted already: msgpack's own checks are enough."""
    try:
        value = msgpack.unpackb(body)
    except (ValueError, msgpack.UnpackException) as error:
        raise MgpuError("Internal", f"the server's answer cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise MgpuError("Internal", "the server's answer is not a map")
    return value


def unpack_request(body: bytes) -> dict[str, Value]:
    """A map from a stranger, within all limits; raises BadRequest or TooLarge, nothing else."""
    from mgpu.protocol.scan import scan  # only a server reads requests

    scan(body)
    try:
        value = msgpack.unpackb(body, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise MgpuError("BadRequest", "text is not valid UTF-8") from error
    except (ValueError, msgpack.UnpackException) as error:
        raise MgpuError("BadRequest", "not valid msgpack") from error
    if not isinstance(value, dict):
        raise MgpuError("BadRequest", "a request is a map")
    return value


def _unique(pairs: list[tuple[Value, Value]]) -> dict[str, Value]:
    members: dict[str, Value] = {}
    for key, value in pairs:
        if not isinstance(key, str):
            raise MgpuError("BadRequest", "the keys of a map are text")
        if key in members:
            raise MgpuError("BadRequest", f'the key "{ascii(key[:40])[1:-1]}" occurs twice')
        members[key] = value
    return members
