"""mgpu_queue --tree: jobs under those that they wait for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import NamedTuple

from mgpu.cli.columns import COLUMNS, Format, Row
from mgpu.model.dependency import parse_dependency
from mgpu.model.errors import MgpuError
from mgpu.protocol.names import JOB_FIELDS

#: The columns behind the names, unless others are asked for.
BEHIND = "%16j %.8u %.2t %.11M %.4G %R"
#: So deep a tree goes; what stands under that begins anew at the left.
DEEPEST = 20
_DEPENDENCY_AT = JOB_FIELDS.index("dependency")


class Node(NamedTuple):
    """A job as it is listed: its name as people write it, and what it waits for."""

    name: str
    dependency: str


class Line(NamedTuple):
    """One line: what stands before the name, and which node it is about.

    ``node`` is None for a job that others wait for and that is not listed. ``alone``: the name
    alone, because it is drawn with all that is under it elsewhere.
    """

    text: str
    node: int | None
    alone: bool = False


def table(rows: list[Row], layout: Format, *, header: bool, plain: bool = False) -> list[str]:
    """The jobs as a tree, with the columns of ``layout`` behind their names."""
    names = list(COLUMNS["i"].cells(rows))
    waits = [row[_DEPENDENCY_AT] or "" for row in rows]
    drawn = draw([Node(*both) for both in zip(names, waits, strict=True)], plain=plain)
    cells = layout.lines(rows)
    titles = [(COLUMNS["i"].header, layout.header())] if header else []
    lines = titles + [(line.text, _behind(line, cells)) for line in drawn]
    width = max((len(name) for name, _ in lines), default=0)
    return [f"{name:<{width}} {rest}".rstrip() for name, rest in lines]


def _behind(line: Line, cells: list[str]) -> str:
    if line.alone:
        return ""
    return "(not listed)" if line.node is None else cells[line.node]


def draw(nodes: list[Node], *, plain: bool = False) -> list[Line]:
    """The nodes, each under the first one that it waits for; under the others by name alone.

    There are no more lines than nodes and conditions, and none is longer than ``DEEPEST`` allows.

    ``plain`` draws with ASCII.
    """
    return list(_Tree(nodes, _ASCII if plain else _LINES).lines())


class _Strokes(NamedTuple):
    fork: str
    last: str
    down: str
    blank: str


_LINES = _Strokes("├─ ", "└─ ", "│  ", "   ")
_ASCII = _Strokes("|- ", "`- ", "|  ", "   ")


class _Branch(NamedTuple):
    """A node to draw: what stands before its name, and before those under it."""

    node: int
    first: str
    rest: str
    depth: int


class _Tree:
    """Children by the place of their parent; those of jobs that are not listed by name."""

    def __init__(self, nodes: list[Node], strokes: _Strokes) -> None:
        self._nodes = nodes
        self._strokes = strokes
        self._children: dict[int, list[int]] = {}
        self._orphans: dict[str, list[int]] = {}
        self._drawn: set[int] = set()
        self._deeper: list[int] = []
        places = _places(nodes)
        self._roots = [at for at, node in enumerate(nodes) if not self._hang(at, node, places)]

    def _hang(self, at: int, node: Node, places: dict[str, int]) -> bool:
        """Put a node under its parents; False where it has none."""
        parents = _parents(node.dependency)
        for name in parents:
            if name in places:
                self._children.setdefault(places[name], []).append(at)
            else:
                self._orphans.setdefault(name, []).append(at)
        return bool(parents)

    def lines(self) -> Iterator[Line]:
        for name, children in self._orphans.items():
            yield Line(name, None)
            yield from self._below(self._branches(children, "", 1))
            yield from self._rest()
        everything = range(len(self._nodes))  # a circle has no root, and everything is shown
        for root in chain(self._roots, everything):
            if root not in self._drawn:
                yield from self._below([_Branch(root, "", "", 0)])
                yield from self._rest()

    def _rest(self) -> Iterator[Line]:
        """What was too deep, at the left."""
        while self._deeper:
            found = [at for at in dict.fromkeys(self._deeper) if at not in self._drawn]
            self._deeper = []
            for at in found:
                yield from self._below([_Branch(at, "", "", 0)])

    def _below(self, branches: list[_Branch]) -> Iterator[Line]:
        """Each node and those under it, the first time; later its name alone."""
        stack = branches[::-1]
        while stack:
            at, first, rest, depth = stack.pop()
            alone = at in self._drawn or depth > DEEPEST
            yield Line(first + self._nodes[at].name, at, alone)
            if not alone:
                self._drawn.add(at)
                stack += reversed(self._branches(self._children.get(at, []), rest, depth + 1))
            elif at not in self._drawn:
                self._deeper.append(at)

    def _branches(self, children: list[int], rest: str, depth: int) -> list[_Branch]:
        strokes = self._strokes
        ends = [(strokes.fork, strokes.down)] * (len(children) - 1) + [
            (strokes.last, strokes.blank)
        ]
        return [
            _Branch(child, rest + edge, rest + under, depth)
            for child, (edge, under) in zip(children, ends, strict=False)
        ]


def _places(nodes: list[Node]) -> dict[str, int]:
    """Where each name is listed; an array is where the last of its parts is."""
    places: dict[str, int] = {}
    for at, node in enumerate(nodes):
        places[node.name] = at
        array, part, _ = node.name.partition("_")
        if part:
            places[array] = at
    return places


def _parents(dependency: str) -> list[str]:
    """The jobs that a dependency names, each once."""
    try:
        needs = parse_dependency(dependency, lambda back: back) if dependency else None
    except MgpuError:  # of a newer scheduler
        return []
    conditions = needs.conditions if needs is not None else ()
    return list(dict.fromkeys(one.parent for one in conditions if one.job))
