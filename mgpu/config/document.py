"""Writes ``docs/configuration.md`` from the table of settings."""

from __future__ import annotations

from typing import Final

from mgpu.config.kinds import shown
from mgpu.config.settings import SECTIONS, SETTINGS, Setting

_HEAD: Final = """\
# Configuration

`mgpud` reads `/etc/mgpu/config.toml`; `--config` or `MGPU_CONFIG` names another file. Without a
file the defaults hold. The file is [TOML](https://toml.io). It is refused when others than root
can write it or a folder above it, since it decides what root does. `mgpud check FILE` lists
everything that is wrong with a file, with line and remedy.

A flag of `mgpud` comes before a variable, a variable before the file, the file before the
default. The variable of a setting is `MGPU_SECTION_KEY`: `MGPU_SCHEDULING_MAX_JOB_TIME=2h`.
`MGPU_RUNTIME_DIR` is short for `MGPU_PATHS_RUNTIME_DIR`, and clients follow it too.
`mgpu_ctl config show` tells of each setting what holds and where it comes from.

`mgpu_ctl reload`, or SIGHUP to `mgpud`, has a running daemon read all of it again: a good
configuration is applied as a whole, of one with a problem nothing is, and the problems are told.
What the tables below mark with "restart" is named then, and holds from the next start on.

Durations are seconds when bare, or `"90s"`, `"10m"`, `"2h30m"`, `"1-12:00:00"`. Sizes are MiB
when bare, or `"512M"`, `"16G"`, `"1.5T"`.

```toml
[scheduling]
max_job_time = "12h"

[[gpus.simulated]]
name = "Sim A"
memory = "16G"
count = 2
```

This page is written by `python -m mgpu.config.document`; change `mgpu/config/settings.py`.
"""


def document() -> str:
    """The page as Markdown."""
    return _HEAD + "".join(_section(name, text) for name, text in SECTIONS.items())


def _section(name: str, text: str) -> str:
    rows = "".join(_row(setting) for setting in SETTINGS if setting.section == name)
    head = "| key | default | value | meaning |\n| --- | --- | --- | --- |\n"
    return f"\n## [{name}]\n\n{text}\n\n{head}{rows}"


def _row(setting: Setting) -> str:
    default = "none" if setting.default == [] else f"`{shown(setting.default)}`"
    more = " (restart)" * setting.restart
    return f"| `{setting.name}` | {default} | {setting.kind.shape} | {setting.help}{more} |\n"


if __name__ == "__main__":
    print(document(), end="")
