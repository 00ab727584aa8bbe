"""mgpu_queue --tree: jobs under those that they wait for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mgpu.cli.columns import COLUMNS, Format, Row
from mgpu.model.dependency import parse_dependency
from mgpu.model.errors import MgpuError
from mgpu.protocol.names import JOB_FIELDS

#: The columns behind the names, unless others are asked for.
BEHIND = "%16j %.8u %.2t %.11M %.4G %R"
_DEPENDENCY_AT = JOB_FIELDS.index("dependency")


class Node(NamedTuple):
    """A job as it is listed: its name as people write it, and what it waits for."""

    name: str
    dependency: str


class Line(NamedTuple):
    """One line: what stands before the name, and which node it is about.

    ``node`` is None for a job that others wait for and that is not listed.
    """

    text: str
    node: int | None


def table(rows: list[Row], layout: Format, *, header: bool, plain: bool = False) -> list[str]:
    """The jobs as a tree, with the columns of ``layout`` behind their names."""
    names = list(COLUMNS["i"].cells(rows))
    waits = [row[_DEPENDENCY_AT] or "" for row in rows]
    drawn = draw([Node(*both) for both in zip(names, waits, strict=True)], plain=plain)
    cells = layout.lines(rows)
    titles = [(COLUMNS["i"].header, layout.header())] if header else []
    lines = titles + [
        (line.text, "(not listed)" if line.node is None else cells[line.node]) for line in drawn
    ]
    width = max((len(name) for name, _ in lines), default=0)
    return [f"{name:<{width}} {rest}".rstrip() for name, rest in lines]


def draw(nodes: list[Node], *, plain: bool = False) -> list[Line]:
    """The nodes, each under the first one that it waits for; under the others by name alone.

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


class _Tree:
    """Children by the place of their parent; those of jobs that are not listed by name."""

    def __init__(self, nodes: list[Node], strokes: _Strokes) -> None:
        self._nodes = nodes
        self._strokes = strokes
        self._children: dict[int, list[int]] = {}
        self._orphans: dict[str, list[int]] = {}
        self._drawn: set[int] = set()
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
            yield from self._below(children, "")
        for root in self._roots:
            yield from self._subtree(root, "", "")
        for at in range(len(self._nodes)):  # a circle has no root, and everything is shown
            if at not in self._drawn:
                yield from self._subtree(at, "", "")

    def _subtree(self, at: int, first: str, rest: str) -> Iterator[Line]:
        """A node and those under it, the first time; later the node alone."""
        stack = [(at, first, rest)]
        while stack:
            at, first, rest = stack.pop()
            yield Line(first + self._nodes[at].name, at)
            if at not in self._drawn:
                self._drawn.add(at)
                stack += reversed(self._branches(self._children.get(at, []), rest))

    def _below(self, children: list[int], rest: str) -> Iterator[Line]:
        for branch in self._branches(children, rest):
            yield from self._subtree(*branch)

    def _branches(self, children: list[int], rest: str) -> list[tuple[int, str, str]]:
        strokes = self._strokes
        ends = [(strokes.fork, strokes.down)] * (len(children) - 1) + [
            (strokes.last, strokes.blank)
        ]
        return [
            (child, rest + edge, rest + under)
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
