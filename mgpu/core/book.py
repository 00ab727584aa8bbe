"""The records of a world: reservations, quotas, usage and the like, by kind and key."""

from __future__ import annotations

from typing import TypeVar

from mgpu.model.records import Counter, Record

R = TypeVar("R", bound=Record)
Changes = dict[tuple[str, str], Record | None]


class Book:
    """Records by class and key. ``changed`` are those that the store does not have yet."""

    def __init__(self, records: tuple[Record, ...] = ()) -> None:
        self._kept: dict[str, dict[str, Record]] = {}
        self.changed: Changes = {}
        for record in records:
            self.put(record)
        self.changed.clear()

    def put(self, record: Record) -> None:
        """Keep ``record`` in the place of the one with its key."""
        kind = type(record).__name__
        self._kept.setdefault(kind, {})[record.key] = record
        self.changed[kind, record.key] = record

    def drop(self, kind: str, key: str) -> None:
        """Forget a record; raises KeyError where there is none."""
        del self._kept[kind][key]
        self.changed[kind, key] = None

    def get(self, kind: type[R], key: str | int) -> R | None:
        """The record with this key."""
        found = self._kept.get(kind.__name__, {}).get(str(key))
        return found if isinstance(found, kind) else None

    def number(self, name: str) -> Counter:
        """The counter called ``name``, one further than the one that is kept."""
        known = self.get(Counter, name)
        return Counter(name, 1 + (known.last if known is not None else 0))

    def all(self, kind: type[R]) -> list[R]:
        """All records of a kind, oldest first."""
        return [r for r in self._kept.get(kind.__name__, {}).values() if isinstance(r, kind)]

    def everything(self) -> list[Record]:
        """All records of all kinds."""
        return [record for kind in self._kept.values() for record in kind.values()]

    def take_changed(self) -> Changes:
        """What changed since the last call; None where a record is gone."""
        changed, self.changed = self.changed, {}
        return changed
