"""The kinds of values of settings about GPUs; see :mod:`mgpu.config.kinds`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mgpu.config.kinds import Integer, Kind, Memory, Text, shown, toml_value
from mgpu.model.units import parse_capability, parse_indices, quoted


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


class Gpus:
    """A list of simulated GPUs. What is neither given nor has a default is left out."""

    shape = (
        "a list of tables with name, memory and, if wanted, count, used, capability, and numbers "
        "of nvlink, switch and numa"
    )
    _MEMBERS: Final[Mapping[str, Kind]] = {
        "name": Text("a name of 1 to 64 printable characters", r"[ -~]{1,64}"),
        "memory": Memory(zero=False),
        "count": Integer(1, 64),
        "used": Memory(),
        "capability": Capability(),
        "nvlink": Integer(0, 64),
        "switch": Integer(0, 64),
        "numa": Integer(0, 64),
    }
    _DEFAULTS: Final[Mapping[str, object]] = {"name": "Simulated GPU", "count": 1, "used": 0}

    def parse(self, value: object) -> list[dict[str, Any]]:
        """The list with defaults filled in."""
        if type(value) is not list:
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        gpus = [self._gpu(number, gpu) for number, gpu in enumerate(value)]
        if sum(gpu["count"] for gpu in gpus) > 64:
            raise ValueError("more than 64 GPUs; make count smaller")
        return gpus

    def from_text(self, text: str) -> list[dict[str, Any]]:
        """The list that ``text`` spells, as TOML writes it on one line."""
        return self.parse(toml_value(text))

    def _gpu(self, number: int, gpu: object) -> dict[str, Any]:
        if type(gpu) is not dict:
            raise ValueError(f"[{number}]: expected a table, got {shown(gpu)}")
        unknown = sorted(set(gpu) - set(self._MEMBERS))
        if unknown:
            known = ", ".join(self._MEMBERS)
            raise ValueError(f"[{number}]: unknown key {quoted(unknown[0])}; there are {known}")
        if "memory" not in gpu:
            raise ValueError(f'[{number}]: memory is missing; write memory = "16G"')
        given = [name for name in self._MEMBERS if name in gpu or name in self._DEFAULTS]
        return {name: self._member(number, name, gpu) for name in given}

    def _member(self, number: int, name: str, gpu: dict[str, object]) -> Any:
        try:
            return self._MEMBERS[name].parse(gpu.get(name, self._DEFAULTS.get(name)))
        except ValueError as error:
            raise ValueError(f"[{number}].{name}: {error}") from error
