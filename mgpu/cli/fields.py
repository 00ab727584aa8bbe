"""squeue's --Format: columns by name."""

from __future__ import annotations

import re

from mgpu.cli.columns import COLUMNS, UNLETTERED, Column, Format, conversion
from mgpu.model.units import quoted

#: What squeue calls them in --Format and --sort -> the letter.
LETTERS = {
    "Account": "a",
    "ArrayJobID": "F",
    "ArrayTaskID": "K",
    "Command": "o",
    "Comment": "k",
    "Dependency": "E",
    "EndTime": "e",
    "Feature": "f",
    "GPUMemory": "m",
    "GPUs": "G",
    "JobArrayID": "i",
    "JobID": "i",
    "JobRecordID": "A",
    "MinCPUs": "c",
    "MinMemory": "m",
    "Name": "j",
    "NodeList": "N",
    "Note": "k",
    "NumCPUs": "C",
    "NumNodes": "D",
    "OverSubscribe": "h",
    "Partition": "P",
    "Peak": "x",
    "Priority": "Q",
    "PriorityLong": "Q",
    "Project": "a",
    "QOS": "q",
    "Reason": "r",
    "ReasonList": "R",
    "StartTime": "S",
    "State": "T",
    "StateCompact": "t",
    "SubmitTime": "V",
    "TimeLeft": "L",
    "TimeLimit": "l",
    "TimeUsed": "M",
    "Tres-Per-Node": "b",
    "User": "u",
    "UserName": "u",
    "WorkDir": "Z",
}
_WIDTH = 20
_FIELD = r"(?a)([A-Za-z_-]+)(?::(\.?)(\d*)(.*))?"


def plain(name: str) -> str:
    """A name without what people write in different ways."""
    return name.lower().replace("-", "").replace("_", "")


_COLUMNS = {plain(name): COLUMNS[letter] for name, letter in LETTERS.items()}
_COLUMNS |= {plain(name): column for name, column in UNLETTERED.items()}
NAMES = (*LETTERS, *UNLETTERED)


def parse_fields(text: str) -> Format:
    """Read squeue's ``NAME[:[.][WIDTH][SUFFIX]],...``; 20 letters wide where no width is given."""
    fields = [_field(part, text) for part in text.split(",") if part.strip()]
    if not fields:
        raise ValueError(f"{quoted(text)} names no column; write for example JobID:10,Name,State")
    return Format("".join(template for template, _ in fields), [column for _, column in fields])


def _field(part: str, text: str) -> tuple[str, Column]:
    match = re.fullmatch(_FIELD, part.strip(" "))
    if match is None:
        hint = "write JobID, Name:30 or User:.8"
        raise ValueError(f"{quoted(part)} in {quoted(text)} is no field; {hint}")
    name, dot, width, suffix = match.groups(default="")
    template = conversion(width or str(_WIDTH), right=bool(dot))
    return template + suffix.replace("%", "%%"), _named(name)


def _named(name: str) -> Column:
    column = _COLUMNS.get(plain(name))
    if column is None:
        raise ValueError(f"there is no field {quoted(name)}{nearest(name)}")
    return column


def nearest(name: str) -> str:
    """A hint for a name that is not known."""
    from difflib import get_close_matches

    known = {plain(one): one for one in NAMES}
    found = get_close_matches(plain(name), known, n=1)
    return f"; did you mean {known[found[0]]}?" if found else f"; known are {', '.join(NAMES)}"
