"""The link between launcher, scheduler and supervisors: one msgpack map per datagram.

It runs over ``AF_UNIX`` ``SOCK_SEQPACKET`` sockets, so a message is whole or absent, and it can
carry descriptors. Self-contained (standard library and msgpack), since root's processes use it.
Errors of the socket (``BlockingIOError``, ``BrokenPipeError``) come through as they are.
"""

from __future__ import annotations

import os
import socket
import struct

import msgpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TypeAlias

    Message: TypeAlias = dict[str, Any]

#: The largest message; every message of ours is far smaller.
MAX_BYTES = 64 * 1024
#: The most descriptors one message may carry.
MAX_FDS = 4

#: What these processes say to each other has versions, since those of an upgrade meet those of
#: before. Version 2 knows ``interrupted``. Who speaks up to VERSION understands from OLDEST on.
VERSION = 2
OLDEST = 1

_FD_SPACE = socket.CMSG_SPACE(MAX_FDS * 4)


class LinkError(Exception):
    """The peer sent something that is not a message of this link."""


def versions() -> dict[str, int]:
    """What a process tells of itself to those it may outlive."""
    return {"link": VERSION, "link_oldest": OLDEST}


def understood(told: Message) -> bool:
    """Whether this process and one that tells ``told`` of itself have a version in common.

    Those of before there were versions tell nothing: that is version 1.
    """
    newest, oldest = told.get("link", 1), told.get("link_oldest", 1)
    return bool(oldest <= VERSION and newest >= OLDEST)


def encode(message: Message) -> bytes:
    """The bytes of one message."""
    data: bytes = msgpack.packb(message)
    if len(data) > MAX_BYTES:
        raise LinkError(f"a message of {len(data)} bytes is over the limit of {MAX_BYTES}")
    return data


def decode(data: bytes) -> Message:
    """The message in ``data``: a map with string keys, one of which is ``op``."""
    try:
        message = msgpack.unpackb(data)
    except Exception as error:  # msgpack has a dozen exceptions without a common ancestor
        raise LinkError(f"not a message: {error}") from error
    if type(message) is not dict or type(message.get("op")) is not str:
        raise LinkError("not a message: a map with 'op' is expected")
    return message


def send(sock: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Send one message, and copies of ``fds`` with it."""
    send_bytes(sock, encode(message), fds)


def send_bytes(sock: socket.socket, data: bytes, fds: Sequence[int] = ()) -> None:
    """``send`` for a message that is encoded already."""
    if fds:
        rights = struct.pack(f"{len(fds)}i", *fds)
        sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], socket.MSG_NOSIGNAL)
    else:
        sock.send(data, socket.MSG_NOSIGNAL)


def recv(sock: socket.socket) -> tuple[Message, list[int]] | None:
    """The next message and the descriptors that came with it; None when the peer is gone.

    The descriptors are close-on-exec and belong to the caller. They are all there or none is: a
    process that has no room for more descriptors gets the message without them.
    """
    try:
        data, fds, whole = receive(sock)
    except ConnectionResetError:  # the peer went away with something of ours unread
        return None
    if not data and not fds:
        return None
    try:
        if not whole:
            raise LinkError("a message over the limits of the link")
        return decode(data), fds
    except LinkError:
        close(fds)
        raise


def receive(sock: socket.socket) -> tuple[bytes, list[int], bool]:
    """The next datagram, the descriptors that came with it, and whether the datagram is whole."""
    data, ancillary, flags, _ = sock.recvmsg(MAX_BYTES, _FD_SPACE, socket.MSG_CMSG_CLOEXEC)
    fds = _descriptors(ancillary)
    if flags & socket.MSG_CTRUNC:
        close(fds)
        fds = []
    return data, fds, not flags & socket.MSG_TRUNC


def close(fds: Sequence[int]) -> None:
    """Close descriptors that came and are not wanted."""
    for fd in fds:
        os.close(fd)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    """The descriptors among the control messages."""
    fds: list[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds += struct.unpack(f"{len(data) // 4}i", data[: len(data) // 4 * 4])
    return fds
