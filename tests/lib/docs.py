"""The commands of the documentation, and the output that console blocks show for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
_FENCE = re.compile(r"^```(.*)$")
_TYPED = re.compile(r"^```(?:console|sh)\b.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_OURS = re.compile(r"(?:[$#] )?(mgpu[d_]?[a-z]* .*)")


@dataclass(frozen=True, slots=True)
class Example:
    """One ``$ command`` of a console block; ``tags`` are the words after ```` ```console ````."""

    file: Path
    line: int
    tags: tuple[str, ...]
    command: str
    output: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}: {self.command}"


def files() -> list[Path]:
    """README and everything under docs."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def examples(file: Path) -> list[Example]:
    """All commands in the console blocks of ``file``, in order."""
    return [example for block in _blocks(file) for example in _commands(file, *block)]


def typed(file: Path) -> Iterator[str]:
    """Lines in console and shell blocks that start a program of ours."""
    for block in _TYPED.findall(file.read_text()):
        yield from (found[1] for line in block.splitlines() if (found := _OURS.fullmatch(line)))


def named(file: Path) -> Iterator[str]:
    """Commands of ours within sentences."""
    for span in re.findall(r"`([^`]+)`", _BLOCK.sub("", file.read_text())):
        if found := _OURS.fullmatch(" ".join(span.split())):
            yield found[1]


def _blocks(file: Path) -> Iterator[tuple[tuple[str, ...], list[tuple[int, str]]]]:
    words: tuple[str, ...] | None = None
    lines: list[tuple[int, str]] = []
    for number, text in enumerate(file.read_text().splitlines(), 1):
        fence = _FENCE.match(text)
        if fence is None:
            lines.append((number, text))
        elif words is None:
            words, lines = tuple(fence[1].split()), []
        else:
            if words[:1] == ("console",):
                yield words[1:], lines
            words = None


def _commands(file: Path, tags: tuple[str, ...], lines: list[tuple[int, str]]) -> Iterator[Example]:
    starts = [index for index, (_, text) in enumerate(lines) if text.startswith("$ ")]
    for start, end in pairwise([*starts, len(lines)]):
        number, text = lines[start]
        shown = tuple(text for _, text in lines[start + 1 : end])
        yield Example(file, number, tags, text[2:], shown)


def matches(shown: tuple[str, ...], seen: str) -> bool:
    """Whether ``seen`` is what the documentation shows.

    The width of gaps does not count, nor do times (0:03), nor by what the machine at hand lets
    jobs be followed. A line ``...`` stands for any lines.
    """
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else re.escape(_plain(line)) + "\n" for line in shown
    )
    text = "".join(_plain(line) + "\n" for line in seen.splitlines())
    return re.fullmatch(pattern, text) is not None


def _plain(line: str) -> str:
    timeless = re.sub(r"\b\d+:\d\d(:\d\d)?\b", "TIME", " ".join(line.split()))
    return re.sub(r"(?<=jobs followed by )[\w-]+$", "MEANS", timeless)
