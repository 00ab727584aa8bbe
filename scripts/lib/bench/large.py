"""A very long queue: waiting jobs of 50 users and 200 shapes, before 16 GPUs."""

from __future__ import annotations

import random
import shutil
import time
from functools import partial
from statistics import median
from typing import Final

from mgpu import Client
from mgpu.config.settings import SETTINGS
from mgpu.core.decide import decide
from mgpu.core.lifecycle import evolve
from mgpu.core.queue import RANKED_FOR
from mgpu.core.requests import AttemptEnded, AttemptRunning
from mgpu.core.schedule import schedule
from mgpu.core.world import World
from mgpu.daemon.rules import policy
from mgpu.model.events import Submitted
from mgpu.model.gpu import Gpu, Inventory
from mgpu.model.job import Job, JobSpec, Pending
from mgpu.model.time import Now
from mgpu.store.base import Batch
from mgpu.store.sqlite import open_store
from scripts.lib.bench import rig
from scripts.lib.bench.cost import kib
from scripts.lib.bench.measure import Row, Scale, beside, wait_for
from scripts.lib.bench.speed import ping
from tests.lib.daemon import Daemon
from tests.lib.users import SERVICE_USER, User

USERS: Final = 50
SHAPES: Final = 200
GPUS: Final = 16
_FIRST_UID: Final = 30_000


def loop() -> float:
    """The yardstick L: milliseconds of a plain Python loop over 100,000 numbers."""
    begin = time.perf_counter()
    total = 0
    for number in range(100_000):
        total += number * number
    return (time.perf_counter() - begin) * 1e3


def specs(first: int = 1) -> list[JobSpec]:
    """What the jobs ask for; half of them share GPUs."""
    chance = random.Random(1)
    return [
        JobSpec(
            first + number,
            "train",
            "python train.py",
            "/home/u",
            gpus=chance.choice([1, 1, 1, 2, 4, 8]),
            gpu_mem=chance.choice([None, None, 4000, 8000]),
            time_limit=chance.choice([600, 3600, 7200, 14400, 86400]) + number,
        )
        for number in range(SHAPES)
    ]


def jobs(count: int, wall: float, first: int = 1) -> list[Job]:
    """The waiting jobs; they came in the last day."""
    chance = random.Random(2)
    shapes = specs(first)
    found = []
    for number in range(first, first + count):
        uid = _FIRST_UID + chance.randrange(USERS)
        at = wall - 86400 * (1 - (number - first) / count)
        spec = chance.choice(shapes)
        found.append(Job(number, uid, f"bench{uid}", spec, at, number, Pending(at)))
    return found


def passes(_user: User, scale: Scale) -> list[Row]:
    """A pass of the scheduler after one job has ended and another one can start."""
    now = Now(1_800_000_000.0, 1000.0)
    world = _world(scale.most, now)
    for event in schedule(world, now).events:
        evolve(world, event)
    loops, after, ranked = [], [], []
    for number in range(10 if scale.quick else 200):
        now = Now(now.wall + 0.1, now.boot + 0.1)
        loops.append(loop())
        after.append(_pass(world, now))
        if number % 10 == 9:
            now = Now(now.wall + RANKED_FOR, now.boot + RANKED_FOR)
            ranked.append(_pass(world, now))
    yard = ("L", median(loops))
    return [
        beside("pass", f"pass after one event, {scale.most:,} waiting", after, yard, 0.55),
        beside("pass", "the same, ranking all anew (twice a minute)", ranked, yard, 15),
    ]


def _world(count: int, now: Now) -> World:
    settings = {setting.key: setting.default for setting in SETTINGS}
    gpus = tuple(Gpu(f"GPU-{index}", index, "Sim", 80_000) for index in range(GPUS))
    found = jobs(count, now.wall)
    return World(policy(settings), Inventory("simulated", gpus), jobs=found)


def _pass(world: World, now: Now) -> float:
    """End the oldest job, see that it is gone, and let the scheduler look; milliseconds of that."""
    job = min(world.placed.values(), key=lambda job: (job.attempt, job.id))
    started = AttemptRunning(job.id, job.attempt, 1, 1, now)
    ended = AttemptEnded(job.id, job.attempt, 0, None, "exit", "", now.wall)
    for report in (started, ended):
        for event in decide(world, report, now).events:
            evolve(world, event)
    world.set_inventory(world.inventory._replace(taken=now.boot + 0.01))
    begin = time.perf_counter()
    plan = schedule(world, now)
    took = (time.perf_counter() - begin) * 1e3
    for event in plan.events:
        evolve(world, event)
    return took


def large(user: User, scale: Scale) -> list[Row]:
    """Start-up and memory of a scheduler with all of them in its state."""
    with rig.daemon(GPUS) as running:
        running.allow_crash = True
        blocker = rig.as_user(user, running, partial(rig.block, GPUS))
        running.kill9()
        _fill(running, scale.most, blocker + 1)
        loops = [loop() for _ in range(15)]
        begin = time.perf_counter()
        running.start(wait=False)
        rig.as_user(user, running, ping)
        seconds = time.perf_counter() - begin
        scheduler = running.scheduler_pid()
        rss = kib(scheduler or 0, "status", "VmRSS") / 1024
        with Client(str(running.admin_socket), admin=True) as client:
            client.cancel(*(job.id for job in client.jobs(scope="all")))
            wait_for(lambda: not client.jobs(scope="all"), "an empty queue")
    took = seconds * 1e3
    started = f"start with {scale.most:,} waiting"
    return [
        Row("large", started, took, "ms", 1250, "L", took / median(loops)),
        Row("large", f"scheduler's RSS, {scale.most:,} waiting", rss, "MiB", 400),
    ]


def _fill(running: Daemon, count: int, first: int) -> None:
    """Put waiting jobs into the state of a daemon that is not running."""
    now = Now(time.time(), 0.0)
    found = jobs(count, now.wall, first)
    events = [Submitted(now, s.spec_id, 1, _FIRST_UID, "bench", s, 0) for s in specs(first)]
    store = open_store(running.state, now.wall)
    store.commit(Batch(now.wall, events, found, {event.spec.spec_id: b"" for event in events}))
    store.close()
    for path in running.state.iterdir():
        if path.is_file():
            shutil.chown(path, SERVICE_USER, SERVICE_USER)
