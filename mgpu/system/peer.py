"""Who is at the other end of a Unix socket, from the kernel: what a peer says counts nothing."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from typing import Final, NamedTuple

_UCRED: Final = struct.Struct("iII")
_SO_PEERGROUPS: Final = 59
#: Python passes no larger buffer: enough for 256 groups.
_PYTHONS_LIMIT: Final = 1024
_KERNELS_LIMIT: Final = 65536


class Peer(NamedTuple):
    """The process that connected, as it was then. Its pid may since belong to another one."""

    pid: int
    uid: int
    gid: int


def credentials(connection: socket.socket) -> Peer:
    """The credentials of the connect call."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return Peer(*_UCRED.unpack(data))


def groups(connection: socket.socket) -> frozenset[int]:
    """The group ids of the peer at its connect, without asking a name service."""
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _PYTHONS_LIMIT)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
        data = _many_groups(connection)
    supplementary = struct.unpack(f"{len(data) // 4}I", data)
    return frozenset((*supplementary, credentials(connection).gid))


def _many_groups(connection: socket.socket) -> bytes:
    buffer = ctypes.create_string_buffer(4 * _KERNELS_LIMIT)
    length = ctypes.c_uint(len(buffer))
    where = (connection.fileno(), socket.SOL_SOCKET, _SO_PEERGROUPS)
    if ctypes.CDLL(None, use_errno=True).getsockopt(*where, buffer, ctypes.byref(length)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return buffer.raw[: length.value]
