"""The kinds of values of settings about GPUs; see :mod:`mgpu.config.kinds`."""

from __future__ import annotations

from typing import Any

from mgpu.config.compound import Member, Tables
from mgpu.config.kinds import Integer, Memory, Text, shown
from mgpu.model.units import parse_capability, parse_indices


class Devices:
    """Which of the machine's GPUs, by index; ``all`` for all."""

    shape = '"all", or indices such as "0-1,3"'

    def parse(self, value: object) -> Any:
        """``all``, or the indices in order."""
        if value == "all":
            return value
        if type(value) is not str:
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        return parse_indices(value)

    def from_text(self, text: str) -> Any:
        """What ``text`` spells."""
        return self.parse(text.strip())


class Capability:
    """A compute capability, as a pair of numbers."""

    shape = 'a compute capability, such as "8.0"'

    def parse(self, value: object) -> tuple[int, int]:
        """(major, minor)."""
        if type(value) is not str and type(value) is not float:
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        return parse_capability(str(value))

    def from_text(self, text: str) -> tuple[int, int]:
        """The pair that ``text`` spells."""
        return self.parse(text)


class Gpus(Tables):
    """A list of simulated GPUs."""

    def __init__(self) -> None:
        super().__init__(
            "a list of tables with name, memory and, if wanted, count, used, capability, and "
            "numbers of nvlink, switch and numa",
            {
                "name": Member(
                    Text("a name of 1 to 64 printable characters", r"[ -~]{1,64}"), "Simulated GPU"
                ),
                "memory": Member(Memory(zero=False), example='"16G"'),
                "count": Member(Integer(1, 64), 1),
                "used": Member(Memory(), 0),
                "capability": Member(Capability()),
                "nvlink": Member(Integer(0, 64)),
                "switch": Member(Integer(0, 64)),
                "numa": Member(Integer(0, 64)),
            },
        )

    def parse(self, value: object) -> list[dict[str, Any]]:
        """The list with defaults filled in."""
        gpus = super().parse(value)
        if sum(gpu["count"] for gpu in gpus) > 64:
            raise ValueError("more than 64 GPUs; make count smaller")
        return gpus
