"""The modes that a program has put the caller's terminal into, to be undone when it is left."""

from __future__ import annotations

import re

_ESCAPE = 0x1B
_SEQUENCE = re.compile(rb"\x1b(?:\[\?([0-9;]*)([hl])|([=>c]))")
#: The begin of a sequence, at the end of what was read; longer ones set nothing.
_BEGUN = re.compile(rb"\x1b(?:\[(?:\?[0-9;]{0,60})?)?\Z")
#: Those that a terminal has when nobody asked: lines go on in the next one, a cursor is seen.
_USUAL = frozenset((7, 25))
#: Those that it has not: cursor keys, reversed, origin, mouse, keypad, margins, what it reports by
#: itself, bracketed paste, held output. Any other is left as it is: what is usual is not known.
_UNUSUAL = frozenset((1, 5, 6, 9, 66, 69, *range(1000, 1007), 1015, 1016, 2004, 2026, 2031, 2048))
#: The other screen, which is left last.
_SCREENS = frozenset((47, 1047, 1049))
_KNOWN = _USUAL | _UNUSUAL | _SCREENS


class Modes:
    """Learns from what is shown which modes are as a shell does not expect them."""

    __slots__ = ("_begun", "_changed", "_keypad")

    def __init__(self) -> None:
        self._begun = b""
        self._changed: frozenset[int] = frozenset()
        self._keypad = False

    def shown(self, data: bytes) -> None:
        """``data`` goes to the terminal; a sequence may have begun in what went before."""
        if not self._begun and _ESCAPE not in data:
            return
        data = self._begun + data
        for match in _SEQUENCE.finditer(data):
            numbers, how, single = match.groups()
            if single:
                self._single(single)
            else:
                self._set(numbers, on=how == b"h")
        begun = _BEGUN.search(data, max(0, len(data) - 64))
        self._begun = begun[0] if begun else b""

    def undo(self) -> bytes:
        """What puts all of them back; there is nothing to undo afterwards."""
        order = sorted(self._changed, key=lambda mode: (mode in _SCREENS, mode))
        keypad = b"\x1b>" if self._keypad else b""
        self._begun, self._changed, self._keypad = b"", frozenset(), False
        return keypad + b"".join(b"\x1b[?%d%c" % (m, b"h" if m in _USUAL else b"l") for m in order)

    def _single(self, letter: bytes) -> None:
        if letter == b"c":  # the terminal as it was switched on
            self._changed = frozenset()
        self._keypad = letter == b"="

    def _set(self, numbers: bytes, *, on: bool) -> None:
        modes = {int(number) for number in numbers.split(b";") if 0 < len(number) < 6} & _KNOWN
        unusual = modes - _USUAL if on else modes & _USUAL
        self._changed = (self._changed - modes) | unusual
