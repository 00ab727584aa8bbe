"""Thin commands: parse, ask, render; no policy."""

from __future__ import annotations

import gc

#: Loading click makes many objects and no garbage to look for: that would take a tenth of a --help.
_OBJECTS = 100_000

gc.set_threshold(_OBJECTS)
