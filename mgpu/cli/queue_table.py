"""The table of mgpu_queue on a terminal: as wide as it needs to be, with colours."""

from __future__ import annotations

import io
import os

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mgpu.cli.columns import COLUMNS, Row
from mgpu.model.states import ACTIVE, COMPLETED, COMPLETING, PENDING, RUNNING
from mgpu.protocol.names import JOB_FIELDS

_STATE_AT, _MINE_AT = JOB_FIELDS.index("state"), JOB_FIELDS.index("mine")
#: The columns by their letters, those of figures to the right.
_LETTERS, _RIGHT = "ijutMGR", "iMG"
_NAME = _LETTERS.index("j")
_COLOURS = {PENDING: "yellow", RUNNING: "green", COMPLETING: "cyan", COMPLETED: "green"}
_OTHER = "red"
_WIDEST_NAME, _LEAST_NAME, _LEAST_REASON = 32, 8, 16
_GAP = 2


def lines(rows: list[Row], width: int, *, header: bool) -> list[str]:
    """The rows as lines no wider than ``width``; the last column may take two of them.

    A terminal that is too narrow for the other columns breaks the lines itself.
    """
    cells = [list(COLUMNS[letter].cells(rows)) for letter in _LETTERS]
    widths = [
        max(map(len, [COLUMNS[at].header, *its])) for at, its in zip(_LETTERS, cells, strict=True)
    ]
    others = sum(widths) - widths[_NAME] - widths[-1] + _GAP * (len(widths) - 1)
    widths[_NAME] = min(
        widths[_NAME], _WIDEST_NAME, max(_LEAST_NAME, width - others - _LEAST_REASON)
    )
    widths[-1] = max(_LEAST_REASON, width - others - widths[_NAME])
    table = _empty(widths, header=header)
    for row, texts in zip(rows, zip(*cells, strict=True), strict=True):
        texts = (*texts[:-1], _shortened(texts[-1], 2 * widths[-1] - _LEAST_NAME))
        table.add_row(*_coloured(row, texts), style="" if row[_STATE_AT] in ACTIVE else "dim")
    return _drawn(table, sum(widths) + _GAP * (len(widths) - 1))


def _empty(widths: list[int], *, header: bool) -> Table:
    table = Table(box=None, pad_edge=False, show_header=header, header_style="bold")
    for letter, width in zip(_LETTERS, widths, strict=True):
        table.add_column(
            COLUMNS[letter].header,
            justify="right" if letter in _RIGHT else "left",
            no_wrap=letter != "R",
            overflow="fold" if letter == "R" else "ellipsis",
            width=width,
        )
    return table


def _shortened(text: str, most: int) -> str:
    """About two lines of a reason; ``--why`` tells all of it."""
    return text if len(text) <= most else f"{text[: most - 2]}…{text[-1]}"


def _coloured(row: Row, texts: tuple[str, ...]) -> list[Text]:
    """The cells, none of which is read as markup."""
    cells = [Text(text) for text in texts]
    cells[_LETTERS.index("t")].stylize(_COLOURS.get(row[_STATE_AT], _OTHER))
    if row[_MINE_AT]:
        cells[_LETTERS.index("u")].stylize("bold")
    return cells


def _drawn(table: Table, width: int) -> list[str]:
    plain = "NO_COLOR" in os.environ and os.environ["NO_COLOR"] != ""
    text = io.StringIO()
    console = Console(
        file=text,
        width=width,
        force_terminal=not plain,
        color_system=None if plain else "auto",
        highlight=False,
        emoji=False,
        markup=False,
    )
    console.print(table)
    return [line.rstrip() for line in text.getvalue().splitlines()]
