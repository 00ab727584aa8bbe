"""Golden files: outputs kept under tests/golden and compared byte for byte.

``--update-golden`` writes them instead; the difference is then reviewed as code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "golden"


@dataclass(frozen=True, slots=True)
class Golden:
    """Compares what a test sees with a stored file."""

    update: bool

    def check(self, name: str, seen: str | bytes) -> None:
        """Fail unless ``tests/golden/NAME`` holds exactly ``seen``."""
        path = FOLDER / name
        data = seen.encode() if isinstance(seen, str) else seen
        if self.update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            return
        assert path.exists(), f"no {path}: run with --update-golden and review the new file"
        kept = path.read_bytes()
        if isinstance(seen, str):
            assert seen == kept.decode()
        else:
            assert seen == kept
