"""mgpu_queue of many jobs: the first ones are printed while the others are still on their way."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from mgpu.cli import array_rows, queue_filter, queue_show
from mgpu.cli.base import OutputLost, emit
from mgpu.cli.columns import Row
from mgpu.protocol.names import JOB_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mgpu.client import Client

_ID, _ARRAY = JOB_FIELDS.index("id"), JOB_FIELDS.index("array")
#: What needs to see all jobs before the first one is shown.
_WHOLE = ("group", "as_json", "as_csv", "tree", "sort", "seconds")


def suits(options: dict[str, Any], width: int) -> bool:
    """Whether the first lines do not depend on what comes later; on a terminal they do."""
    whole = any(options[name] for name in _WHOLE) or queue_filter.wants_ended(options)
    cut = options["limit"] and (options["each"] or queue_filter.narrows(options))
    return not (width or whole or cut)


def show(client: Client, filters: Mapping[str, object], options: dict[str, Any]) -> int:
    """Print all jobs, those of the first piece at once.

    Only those: a reader that is slow must not make the scheduler wait.
    """
    printed = _Printed(options)
    client.pieces(filters, printed.take)
    printed.finish()
    return 0


class _Printed:
    """What is printed so far, up to the id ``_last``: pieces come in the order of ids."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._layout = queue_show.format_of(options)
        self._last = -1
        self._rest: list[Row] = []

    def take(self, rows: list[Row], first: bool) -> None:  # noqa: FBT001 - as the client calls it
        """One piece: print it if it is the first one, up to where the order is not known yet."""
        if first:
            self._rest.clear()  # the connection broke, and all comes again
        if self._last < 0:
            plain = next((at for at, row in enumerate(rows) if row[_ARRAY]), len(rows))
            self._print_first(rows[:plain])
        self._rest.extend([row for row in rows if row[_ID] > self._last])

    def finish(self) -> None:
        """Print the others."""
        if self._last < 0:
            self._print_first([])
        rows = queue_filter.chosen(self._rest, [], self._options)
        if self._options["each"]:
            rows = list(array_rows.one_each(rows))
        self._write(self._layout.lines(array_rows.in_order(rows)))

    def _print_first(self, rows: list[Row]) -> None:
        self._last = rows[-1][_ID] if rows else 0
        header = [] if self._options["no_header"] else [self._layout.header()]
        self._write(header + self._layout.lines(queue_filter.chosen(rows, [], self._options)))
        try:
            sys.stdout.flush()
        except OSError as error:
            raise OutputLost(error) from error

    def _write(self, lines: list[str]) -> None:
        if lines:
            emit("\n".join(lines))
