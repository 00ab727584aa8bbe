"""The kinds of values that a setting can have: how each is read, checked and described.

``parse`` takes a value as TOML gives it and returns the plain value that the program uses;
``from_text`` takes what a flag or a variable holds. Both raise ValueError saying what is wrong.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final, Protocol

from mgpu.model.units import parse_duration, parse_memory, quoted
from mgpu.system.zone import zone_named


class Kind(Protocol):
    """A kind of value. ``shape`` says in a few words what to write."""

    @property
    def shape(self) -> str:
        """What to write, for the documentation and for errors."""
        ...

    def parse(self, value: object) -> Any:
        """The value in the form that the program uses."""
        ...

    def from_text(self, text: str) -> Any:
        """The value that a variable or a flag spells."""
        ...


class Integer:
    """A whole number between two bounds."""

    def __init__(self, low: int, high: int = 2**31 - 1) -> None:
        self._low, self._high = low, high
        self.shape = f"a whole number from {low}" + ("" if high == 2**31 - 1 else f" to {high}")

    def parse(self, value: object) -> int:
        """The number itself."""
        if type(value) is not int:
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        if not self._low <= value <= self._high:
            raise ValueError(f"{value} is out of range; write {self.shape}")
        return value

    def from_text(self, text: str) -> int:
        """The number that ``text`` spells."""
        plain = text.strip()
        return self.parse(int(plain) if re.fullmatch(r"-?\d{1,18}", plain, re.ASCII) else text)


class Number(Integer):
    """A number between two bounds that need not be whole."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__(low, high)
        self.shape = f"a number from {low} to {high}"

    def parse(self, value: object) -> Any:
        """The number as it is written: 2 and 0.5 are both fine."""
        if type(value) not in (int, float):
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        number = float(value)  # type: ignore[arg-type]
        if not self._low <= number <= self._high:
            raise ValueError(f"{value} is out of range; write {self.shape}")
        return value

    def from_text(self, text: str) -> Any:
        """The number that ``text`` spells."""
        return self.parse(toml_value(text))


class Weight(Number):
    """A number greater than 0."""

    def __init__(self) -> None:
        super().__init__(0, 1000)

    def parse(self, value: object) -> Any:
        """The number."""
        weight = float(super().parse(value))
        if not weight:
            raise ValueError("0 is no weight; write a number greater than 0")
        return weight


class Flag:
    """true or false."""

    shape = "true or false"

    def parse(self, value: object) -> bool:
        """The truth value itself."""
        if type(value) is not bool:
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        return value

    def from_text(self, text: str) -> bool:
        """The truth value that ``text`` spells."""
        return self.parse({"true": True, "false": False}.get(text.strip().lower(), text))


class Text:
    """A text that a pattern describes."""

    def __init__(self, shape: str, pattern: str) -> None:
        self.shape = shape
        self._pattern = re.compile(pattern, re.ASCII)

    def parse(self, value: object) -> str:
        """The text itself."""
        if type(value) is not str or not self._pattern.fullmatch(value):
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        return value

    def from_text(self, text: str) -> str:
        """The text itself."""
        return self.parse(text)


class TimeZone(Text):
    """The name of a time zone that this machine knows, or nothing."""

    def __init__(self) -> None:
        super().__init__('the name of a time zone, or ""', r"[A-Za-z0-9_+/-]{0,64}")

    def parse(self, value: object) -> str:
        """The name itself."""
        name = super().parse(value)
        zone_named(name)
        return name


class Choice:
    """One of a few words."""

    def __init__(self, *words: str) -> None:
        self._words = words
        self.shape = " or ".join(f'"{word}"' for word in words)

    def parse(self, value: object) -> str:
        """The word itself."""
        if type(value) is not str or value not in self._words:
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        return value

    def from_text(self, text: str) -> str:
        """The word itself."""
        return self.parse(text.strip())


class Path:
    """An absolute path of a folder; ``longest`` bounds it where sockets lie below."""

    shape = 'an absolute path, such as "/srv/mgpu"'

    def __init__(self, longest: int = 4000) -> None:
        self._longest = longest

    def parse(self, value: object) -> str:
        """The path without a slash at its end."""
        if type(value) is not str or not value.startswith("/") or "\0" in value:
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        if ".." in value.split("/"):
            raise ValueError(f"{shown(value)} holds '..'; write the path without it")
        if len(value.encode()) > self._longest:
            raise ValueError(f"longer than {self._longest} bytes: no socket fits below it")
        return value.rstrip("/") or "/"

    def from_text(self, text: str) -> str:
        """The path itself."""
        return self.parse(text)


class Duration:
    """A time span, in seconds."""

    shape = 'seconds, or a text such as "90s", "10m", "2h30m", "1-12:00:00"'

    def __init__(self, low: int = 0) -> None:
        self._low = low

    def parse(self, value: object) -> int:
        """The seconds."""
        if type(value) is not int and type(value) is not str:
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        seconds = parse_duration(str(value))
        if seconds < self._low:
            raise ValueError(f"{shown(value)} is too short; write at least {self._low} seconds")
        return seconds

    def from_text(self, text: str) -> int:
        """The seconds that ``text`` spells."""
        return self.parse(text)


class Memory:
    """An amount of GPU memory, in MiB; 0 is allowed where the table says so."""

    shape = 'MiB, or a text such as "512M", "16G", "1.5T"'

    def __init__(self, *, zero: bool = True) -> None:
        self._zero = zero

    def parse(self, value: object) -> int:
        """The MiB."""
        if type(value) is not int and type(value) is not str:
            raise ValueError(f"expected {self.shape}, got {shown(value)}")
        if self._zero and str(value).strip() == "0":
            return 0
        return parse_memory(str(value))

    def from_text(self, text: str) -> int:
        """The MiB that ``text`` spells."""
        return self.parse(text)


PROJECT: Final = Text("a name of 1 to 64 printable characters", r"[^\s\x00-\x1f]{1,64}")


def toml_value(text: str) -> object:
    """``text`` read as a value of TOML; the text itself where it is none."""
    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return read["value"] if set(read) == {"value"} else text


def shown(value: object) -> str:
    """A value for an error message, as TOML would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, dict):
        return "a table"
    return "a list" if isinstance(value, list) else quoted(str(value)).strip('"')
