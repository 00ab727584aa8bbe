"""The pictures in the README are what the commands draw now; scripts/pictures makes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.lib.pictures.__main__ import PICTURES, drawn, text_of

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_current(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")  # how it is drawn does not depend on who draws it
    kept = (ROOT / f"docs/pictures/{name}.svg").read_text()
    assert text_of(kept) == text_of(drawn(name)), "run scripts/pictures"
    assert "font-face" not in kept, "it needs nothing from elsewhere"
    assert f"docs/pictures/{name}.svg" in (ROOT / "README.md").read_text()
