"""Draw the pictures of the README: python -m scripts.lib.pictures FOLDER."""

from __future__ import annotations

import io
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.text import Text

from mgpu.cli import queue_table, top_state, top_view
from mgpu.cli.info_screen import screen
from scripts.lib.pictures import scene

_WIDTH = 100
_CHOSEN = 4203


def _queue() -> Group:
    lines = queue_table.lines(scene.ROWS, _WIDTH, header=True)
    return Group(_prompt("mgpu_queue"), *map(Text.from_ansi, lines))


def _info() -> Group:
    lines = screen(scene.MACHINE, lambda uid: "linus" if uid else "root", _WIDTH)
    return Group(_prompt("mgpu_info"), *map(Text, lines))


def _top() -> Group:
    jobs = top_state.jobs(scene.ROWS)
    state = top_state.settled(top_state.State(chosen=_CHOSEN), jobs)
    known = top_view.Known(scene.MACHINE, jobs, [], scene.HISTORY, scene.NOW)
    return top_view.screen(known, state, top_view.Size(_WIDTH, 26))


def _prompt(command: str) -> Text:
    return Text.assemble(("$ ", "bold green"), (command, "bold"))


PICTURES = {"mgpu_queue": _queue, "mgpu_info": _info, "mgpu_top": _top}


def drawn(name: str) -> str:
    """The picture as SVG."""
    with _surroundings():
        svg = _svg(name)
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # nothing from elsewhere


@contextmanager
def _surroundings() -> Iterator[None]:
    """The same terminal and time zone wherever it is drawn."""
    before = dict(os.environ)
    os.environ |= {"TERM": "xterm-256color", "TZ": "UTC", "NO_COLOR": "", "COLORTERM": ""}
    time.tzset()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        time.tzset()


def _svg(name: str) -> str:
    console = Console(
        file=io.StringIO(), record=True, width=_WIDTH, force_terminal=True,
        color_system="truecolor", highlight=False,
    )  # fmt: skip
    console.print(PICTURES[name]())
    return console.export_svg(title=name, unique_id=name.replace("_", "-"))


def text_of(svg: str) -> list[str]:
    """The words in a picture, in order: the same with every release of rich."""
    parts = re.findall(r"<text[^>]*>(.*?)</text>", svg, flags=re.DOTALL)
    return " ".join(parts).replace("&#160;", " ").split()


def main() -> None:
    """Write all of them into the folder that is given."""
    folder = Path(sys.argv[1])
    for name in PICTURES:
        (folder / f"{name}.svg").write_text(drawn(name))
        print(folder / f"{name}.svg")


if __name__ == "__main__":
    main()
