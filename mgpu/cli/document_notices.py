"""``docs/reference/notices.md``: the events that people can be told of."""

from __future__ import annotations

from mgpu.model.notice import EVENTS, MAIL_TYPES, MOST_TARGETS, MOST_WAITING

_HEAD = f"""\
# Events

What can be told by mail and webhook; [notices](../notices.md) says how. A job names at most
{MOST_TARGETS} targets, and {MOST_WAITING} notices of one user may wait to be sent.

| event | of | when |
| --- | --- | --- |
"""


def written() -> str:
    """The page."""
    rows = [
        f"| `{name}` | {'a job' if about.of_job else 'the machine'} | {about.when} |\n"
        for name, about in EVENTS.items()
    ]
    words = [f"| `{word}` | {_meant(word)} |\n" for word in MAIL_TYPES]
    head = "\n## Words of `--mail-type`\n\nBesides the events of jobs themselves:\n\n"
    table = "| word | events |\n| --- | --- |\n"
    foot = "\nThis page is written by `python -m mgpu.cli.document` from `mgpu/model/notice.py`.\n"
    return "".join([_HEAD, *rows, head, table, *words, foot])


def _meant(word: str) -> str:
    events = ", ".join(f"`{name}`" for name in MAIL_TYPES[word])
    return events or ("none" if word == "NONE" else "an array tells of each task, not of itself")
