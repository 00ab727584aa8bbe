"""Odd requests: most fields are of the right type, few values are sensible ones."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Map = dict[str, Any]
Make = Callable[[], object]

NUMBERS = [0, 1, 2, 5, 60, 3600, 1000, 99_999, 100_000, 2**31, 2**32, 2**37, 2**40, 2**63 - 1]
NUMBERS += [-1, -(2**63), 1_700_000_060, 253_402_300_799, 253_402_300_801]
FLOATS = [1.5, 1e300, -1e300, 5e-324, -0.0]
SCATTERED = ",".join(str(n * n) for n in range(60))
TEXTS = [
    *("", "a", "A" * 64, "x" * 4000, "\u202e", "\x7f\x1b[31m", "é" * 30, "{a}", "}}{", "%j", "("),
    *("42_7", "1", "1_0", "1_[0-3]", "1_[0-99999:2]", "2_[0-4294967295]", f"3_[{SCATTERED}]"),
    *("0-9", "0-99999", "0-4294967295", "1,2,7-9%2", "0-100:7", "5-1", SCATTERED),
    *("@", "@~1", "@~999999999", "afterok:1", "afterok:1:2?after:3+10", "after:1+99999999"),
    *("singleton", "afterany:1_*", "aftercorr:1", "afterok:@", "1:2:3"),
    *("* * * * *", "0 0 30 2 *", "@yearly", "0 0 29 2 1", "*/7 * * * *", "60 * * * *"),
    *("UTC", "Europe/Berlin", "Pacific/Apia", "../../etc/passwd", "/etc/passwd", "Europe"),
    *("user:u1001", "group:g", "project:p", "default:user", "default:project", "user:"),
    *("me", "all", "PENDING", "COMPLETED", "queue", "skip", "once", "drop", "pause", "remove"),
    *("gpu_seconds", "running_jobs", "normal", "Sim A", "0", "0-3", "1001"),
]
SUBJECTS = ["user:u1001", "group:g", "project:p", "default:user", "default:project"]
CRONS = ["* * * * *", "0 0 29 2 *", "@yearly", "30 2 * * 0", "0 0 1 1 *"]


class Odd:
    """Makes requests from a seed, for an ``op`` of ``SHAPES``."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self._made = 0

    def request(self, op: str, known: list[int]) -> Map:
        """A request; ``known`` are jobs that exist. One in ten has a value of a wrong type."""
        self._made += 1
        shape = SHAPES[op]
        made: Map = {"op": op} | {name: make(self) for name, make in shape.needs.items()}
        made |= {name: make(self) for name, make in shape.may.items() if self.one_in(5)}
        if known and not self.one_in(3):
            self._aim(made, known)
        if self.one_in(10):
            made[self.chance.choice([*made])] = self.anything()
        return made

    def _aim(self, made: Map, known: list[int]) -> None:
        """Name jobs that exist."""
        job = self.chance.choice(known)
        if "jobs" in made:
            tails = ["", "", "_0", "_7", "_[0-5]", "_[0-99:3]"]
            made["jobs"] = [f"{job}{self.chance.choice(tails)}", job, self.chance.choice(known)]
        if "job" in made:
            made["job"] = job
        if "dependency" in made:
            kinds = ["after", "afterok", "afternotok", "afterany", "aftercorr"]
            made["dependency"] = f"{self.chance.choice(kinds)}:{job}"

    def one_in(self, many: int) -> bool:
        """True that often."""
        return self.chance.randrange(many) == 0

    def number(self) -> int:
        """Any whole number."""
        return self.chance.choice(NUMBERS) if self.one_in(2) else self.chance.randrange(100)

    def bound(self) -> int:
        """What a quota may be."""
        found: int = self.pick(0, 1, 60, 1000, self.number())
        return found

    def text(self, most: int = 4000) -> str:
        """Any text."""
        return self.chance.choice(TEXTS)[:most]

    def pick(self, *values: object) -> Any:
        """One of these."""
        return self.chance.choice(values)

    def key(self) -> str:
        """A key, now and then one that was used."""
        return "same" if self.one_in(20) else f"key{self._made}"

    def names(self) -> list[object]:
        """Names of jobs, from none to very many."""
        several: list[object] = [self.text() for _ in range(self.chance.randrange(4))]
        lists: list[list[object]] = [
            [],
            several,
            [self.number()],
            [*range(1, 5001)],
            [3, 3, "1_0", 1],
        ]
        return self.chance.choice(lists)

    def anything(self, depth: int = 0) -> object:
        """A value of any type."""
        leaf = self.pick(self.number(), self.text(), self.chance.choice(FLOATS), None, True, b"x")
        if depth == 3 or not self.one_in(3):
            return leaf
        inside = [self.anything(depth + 1) for _ in range(self.chance.randrange(3))]
        return self.pick(inside, {self.text(20): inside})

    def spec(self) -> Map:
        """The spec of a submission, plain but for a few fields."""
        made: Map = {"argv": [b"x"] * self.pick(1, 3), "cwd": b"/" + b"\xff" * self.pick(0, 4000)}
        rarity = self.pick(5, 10, 30)
        made |= {name: make(self) for name, make in SPEC.items() if self.one_in(rarity)}
        if self.one_in(20):
            made[self.chance.choice([*made])] = self.anything()
        return made


class Shape:
    """The fields of a request: those that it needs and those that it may have."""

    def __init__(self, needs: dict[str, Callable[[Odd], object]], **may: Any) -> None:
        self.needs = needs
        self.may: dict[str, Callable[[Odd], object]] = may


SPEC: dict[str, Callable[[Odd], object]] = {
    "gpus": lambda odd: odd.pick(0, 0, 1, 2, 3, 1024),
    "gpu_mem": lambda odd: odd.pick(1, 100, 16384, 2**40),
    "exclusive": lambda odd: odd.one_in(2),
    "time_limit": lambda odd: odd.pick(0, 1, 60, 3600, 10**9, odd.number()),
    "requeue": lambda odd: odd.one_in(2),
    "signal": lambda odd: [odd.pick(1, 64, 65), odd.pick(1, 65535, 10**6)],
    "priority": lambda odd: odd.pick(-1000, 0, 1000, 1001),
    "name": lambda odd: odd.text(128),
    "script": lambda odd: odd.pick(b"#!/bin/sh\n", b"", b"no"),
    "rlimits": lambda odd: [[odd.pick(0, 7, 16), odd.number(), odd.number()]],
    "project": lambda odd: odd.text(64),
    "qos": lambda odd: odd.text(64),
    "gpu_type": lambda odd: odd.text(64),
    "gpu_ids": lambda odd: [odd.pick(0, 1, 2, 1024)],
    "min_gpu_total": Odd.number,
    "min_capability": lambda odd: [odd.pick(0, 8, 99), odd.number()],
    "cpus": lambda odd: odd.pick(0, 1, 65536),
    "host_mem": Odd.number,
    "begin": Odd.number,
    "deadline": Odd.number,
    "hold": lambda odd: odd.one_in(2),
    "dependency": Odd.text,
    "kill_on_invalid_dep": lambda odd: odd.one_in(2),
    "retries": lambda odd: odd.pick(0, 1, 1000),
    "array": Odd.text,
    "max_concurrent": lambda odd: odd.pick(0, 1, 100_000),
    "sweep": lambda odd: [[["a", "b"], [["1", "2"]] * odd.pick(0, 1, 40)]] * odd.pick(1, 2, 5),
    "name_template": lambda odd: odd.pick("{a}", "{", "}}{", "{a}" * 40),
    "cron": lambda odd: odd.pick(*CRONS, odd.text(128)),
    "zone": lambda odd: odd.text(64),
    "tty": lambda odd: odd.pick([24, 80], [0, 80], [odd.number()], []),
    "export_slurm": lambda odd: odd.pick("yes", "no", "configured", odd.text(8)),
    "overlap": Odd.text,
    "missed": Odd.text,
    "mail_type": lambda odd: [odd.pick("END", "BEGIN", "NONE", "ARRAY_TASKS", odd.text(64))],
    "mail_user": lambda odd: odd.pick("a@b.de", "-a@b.de", "a@b.de\n", odd.text(254)),
    "notify": lambda odd: (
        [odd.pick("https://h.org/x", "file:///x", odd.text(2048))] * odd.pick(1, 17)
    ),
}
_JOBS: dict[str, Callable[[Odd], object]] = {"jobs": Odd.names}
_SUBJECT: dict[str, Callable[[Odd], object]] = {
    "subject": lambda odd: odd.pick(*SUBJECTS, odd.text(100))
}
_GPUS: dict[str, Callable[[Odd], object]] = {
    "gpus": lambda odd: [odd.pick("0", "1", "0-3", "all", odd.text(128))]
}
_PID: dict[str, Callable[[Odd], object]] = {"pid": Odd.number}
SHAPES: dict[str, Shape] = {
    "ping": Shape({}),
    "info": Shape({}),
    "submit": Shape(
        {"key": Odd.key, "spec": Odd.spec},
        count=lambda odd: odd.pick(1, 3, 50, 100_000),
        dry=lambda odd: odd.one_in(4),
    ),
    "jobs": Shape(
        {},
        scope=lambda odd: odd.pick("me", "all"),
        users=lambda odd: [odd.text(256)],
        states=lambda odd: [odd.pick("PENDING", "RUNNING", "FAILED", "COMPLETED")],
        jobs=Odd.names,
        ended=lambda _odd: True,
        limit=Odd.number,
    ),
    "cancel": Shape(_JOBS),
    "wait": Shape(_JOBS),
    "priority": Shape({**_JOBS, "priority": lambda odd: odd.pick(-1000, 0, 1000)}),
    "update": Shape({"job": Odd.number, "max_concurrent": lambda odd: odd.pick(0, 1, 100_000)}),
    "depend": Shape({**_JOBS, "dependency": Odd.text}),
    "hold": Shape(_JOBS),
    "release": Shape(_JOBS, begin=Odd.number),
    "crons": Shape({}),
    "cron_change": Shape(
        {
            "numbers": lambda odd: [odd.pick(1, 2, 3, odd.number())],
            "how": lambda odd: odd.pick("pause", "resume", "remove"),
        }
    ),
    "ranks": Shape({}, limit=lambda odd: odd.pick(1, 10_000)),
    "starts": Shape(_JOBS),
    "why": Shape(_JOBS),
    "logs": Shape(_JOBS, terminal=lambda odd: odd.pick(True, False, 1)),
    "attach": Shape(
        {"job": Odd.number}, after=lambda odd: odd.pick(0, 1, 2), read_only=lambda _odd: True
    ),
    "newest": Shape({}, back=lambda odd: odd.pick(0, 1, 9999, odd.number())),
    "news": Shape({"seen": lambda odd: odd.pick(0, 1, 2, odd.number())}),
    "alter": Shape(
        _JOBS,
        time_limit=lambda odd: odd.pick(0, 1, 600, 2**40),
        qos=Odd.text,
        **dict.fromkeys(("gpus", "gpu_mem", "host_mem"), lambda odd: odd.pick(0, 1, 2, 2**60)),
    ),
    "history": Shape(_JOBS),
    "submission": Shape(_JOBS),
    "signal": Shape(
        {**_JOBS, "signal": lambda odd: odd.pick(0, 1, 9, 64, 65)},
        leader=lambda odd: odd.one_in(2),
    ),
    "stats": Shape(
        {"tables": lambda odd: [odd.pick("total", "user", "gpu", "day", "hours", "top", "runs")]},
        since=lambda odd: odd.pick(0, 1, 1_700_000_000, odd.number()),
        until=lambda odd: odd.pick(0, 2, 1_800_000_000, odd.number()),
        users=lambda odd: [odd.text(256)],
        states=lambda odd: [odd.pick("RUNNING", "FAILED", odd.text(20))],
        projects=lambda odd: [odd.text(64)],
        jobs=lambda odd: [odd.pick(1, 2, odd.number())],
        mine=lambda odd: odd.one_in(2),
        days=lambda odd: [odd.pick(0, 1, 1_700_000_000, odd.number()), odd.pick(5, odd.number())],
        limit=lambda odd: odd.pick(1, 10_000, odd.number()),
        top=lambda odd: odd.pick(1, 1000, odd.number()),
    ),
    "reserve": Shape(
        {
            "key": Odd.key,
            "count": lambda odd: odd.pick(1, 2, 3),
            "duration": lambda odd: odd.pick(1, 3600, 366 * 86400),
            "start": lambda odd: odd.pick(None, 1_700_000_060, 2**37, 2**40, odd.number()),
        },
        end=Odd.number,
        gpus=lambda _odd: [0],
        name=lambda odd: odd.text(64),
        for_users=lambda odd: [odd.text(64)],
        for_groups=lambda odd: [odd.text(64)],
        for_projects=lambda odd: [odd.text(64)],
        cron=lambda odd: odd.pick(*CRONS, odd.text(128)),
        zone=lambda odd: odd.pick("UTC", "Pacific/Apia", odd.text(64)),
        preempt=lambda odd: odd.one_in(2),
    ),
    "reservations": Shape({}),
    "unreserve": Shape({"id": lambda odd: odd.pick(1, 2, 3, odd.number())}),
    "quota_set": Shape(
        _SUBJECT,
        **dict.fromkeys(["running_gpus", "running_jobs", "queued_jobs"], Odd.bound),
        **dict.fromkeys(["gpu_memory", "gpu_seconds"], Odd.bound),
        period=lambda odd: odd.pick(3600, 366 * 86400),
        lift=lambda _odd: ["gpu_seconds"],
    ),
    "quota_list": Shape({}),
    "quota_remove": Shape(_SUBJECT),
    "gpu_list": Shape({}),
    "gpu_processes": Shape({}),
    "gpu_drain": Shape({**_GPUS, "reason": lambda odd: odd.text(200)}),
    "gpu_resume": Shape(_GPUS),
    "gpu_set": Shape(_GPUS),
    "gpu_ignore": Shape(_PID),
    "gpu_unignore": Shape(_PID),
    "gpu_simulate": Shape(
        {"gpu": lambda odd: odd.pick("0", "1", odd.text(128))},
        used=Odd.number,
        processes=lambda odd: [[odd.number(), odd.number()]],
        utilization=Odd.number,
        fault=lambda odd: odd.pick("", "", odd.text(200)),
        hang=lambda odd: odd.one_in(20),
    ),
    "config": Shape({}),
    "reload": Shape({}),
    "status": Shape({}),
    "audit": Shape(
        {},
        before=Odd.number,
        since=Odd.number,
        until=Odd.number,
        users=lambda odd: [odd.number()],
        ops=lambda odd: [odd.pick("submit", "cancel", odd.text(64))],
        job=Odd.number,
        refused=lambda odd: odd.one_in(2),
    ),
    "log_level": Shape({"level": lambda odd: odd.pick("debug", "error", odd.text(64))}),
    "machine_drain": Shape({"reason": lambda odd: odd.text(200)}),
    "machine_resume": Shape({}),
    "shutdown": Shape({"how": lambda odd: odd.pick("drain", "cancel", odd.text(64))}),
    "requeue": Shape(_JOBS),
    "backup": Shape({}, keep=lambda odd: odd.one_in(2)),
}
