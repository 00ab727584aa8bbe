"""The limits of a client's connection that no configuration changes (security.md, section 2)."""

from __future__ import annotations

import select
from typing import Final

#: Bytes of the largest request.
FRAME: Final = 1 << 20
#: Seconds from the connection to the first whole frame.
FIRST_FRAME: Final = 2.0
#: Seconds from a request's first byte to its last.
WHOLE_REQUEST: Final = 5.0
#: Seconds without anything on a connection that owes and is owed nothing; also the time in
#: which a client has to take some of its answer.
IDLE: Final = 60.0
#: Bytes read at once, and bytes of a streamed answer made ahead of the client.
READ_SIZE: Final = 1 << 16
SEND_AHEAD: Final = 1 << 17
#: Connections that one socket accepts a second, at once, and in one turn of the loop, over all
#: users: a flood costs that much and no more.
ACCEPT_RATE: Final = 5000.0
ACCEPT_BURST: Final = 512.0
ACCEPTS_PER_TURN: Final = 64
#: Connections of all users: whoever may make user namespaces can have many uids (subuid(5)),
#: and each has what one user may have.
CONNECTIONS: Final = 4096
#: Messages of a process of ours that are heard in one turn.
MESSAGES_PER_TURN: Final = 64
#: New connections of a user, at once and a second, for each request at once and a second.
CONNECTS_PER_REQUEST: Final = 4
#: Users of whom something is remembered though they have no connection.
MOST_REMEMBERED: Final = 1000
#: Seconds without accepting after the process ran out of descriptors.
ACCEPT_PAUSE: Final = 0.25
#: A request that takes this many seconds of the scheduler costs one token more.
SECONDS_PER_TOKEN: Final = 0.02
#: So do so many bytes of a request, and so many jobs that it makes or names.
BYTES_PER_TOKEN: Final = 1 << 16
JOBS_PER_TOKEN: Final = 250
#: Bytes of requests that are not answered yet, over all connections of a user.
UNANSWERED: Final = 8 << 20
#: The client has closed its side.
RDHUP: Final = select.EPOLLRDHUP
#: Seconds from the order to start a job to the first word of its supervisor.
START_DEADLINE: Final = 30.0
