"""Arrays and sweeps with real users: what each task sees, where it writes, how all of it ends."""

from __future__ import annotations

import json
from collections.abc import Iterable

from tests.lib.daemon import Daemon
from tests.lib.users import User
from tests.lib.waiting import eventually

PRINT = (
    "import json, os, sys; "
    "print(json.dumps({**{k: v for k, v in os.environ.items() if k.startswith('MGPU_')},"
    " 'argv': sys.argv[1:], 'uid': os.getuid()}))"
)
PYTHON = ("--", "/usr/bin/python3", "-c", PRINT)
SHARED = ("--mem", "1000")


def seen(user: User, job: int, tasks: Iterable[int]) -> dict[int, dict[str, object]]:
    """What each task of a finished array printed."""
    folder = user.home / ".local/state/mgpu/logs"
    logs = {task: folder / f"{job}_{task}.log" for task in tasks}
    return {task: json.loads(path.read_text().splitlines()[-1]) for task, path in logs.items()}


def test_each_task_knows_its_number(daemon: Daemon, alice: User) -> None:
    done = daemon.srun(alice, *SHARED, "--wait", "--parsable", "-a", "0,4-8:2%2", *PYTHON)
    assert (done.returncode, done.stdout) == (0, "1\n")
    found = seen(alice, 1, [0, 4, 6, 8])
    for task, env in found.items():
        assert (env["MGPU_ARRAY_JOB_ID"], env["MGPU_ARRAY_TASK_ID"]) == ("1", str(task))
        bounds = [env[f"MGPU_ARRAY_TASK_{what}"] for what in ("COUNT", "MIN", "MAX")]
        assert (bounds, env["uid"]) == (["4", "0", "8"], alice.uid)
    assert len({env["MGPU_JOB_ID"] for env in found.values()}) == 4
    assert {row["tasks"]: row["state"] for row in daemon.jobs("-j", "1", "--all")} == dict.fromkeys(
        "0468", "COMPLETED"
    )


def test_a_sweep_fills_in_its_values(daemon: Daemon, alice: User, bob: User) -> None:
    table = alice.home / "grid.csv"
    table.write_text("bs,opt\n32,sgd\n64,adam\n")
    daemon.srun(
        alice, *SHARED, "--wait", "--param-file", str(table), "--param", "lr=0.1,$(id)",
        "--name-template", "{opt}-{lr}", *PYTHON, "--lr={lr}", "{{bs}}", "{x}",
    )  # fmt: skip
    found = seen(alice, 1, range(4))
    assert found[2]["argv"] == ["--lr=0.1", "{bs}", "{x}"]
    assert found[3]["argv"] == ["--lr=$(id)", "{bs}", "{x}"]
    names = [env["MGPU_JOB_NAME"] for env in found.values()]
    assert names == ["sgd-0.1", "sgd-$(id)", "adam-0.1", "adam-$(id)"]
    assert (found[3]["MGPU_PARAM_BS"], found[3]["MGPU_PARAM_LR"]) == ("64", "$(id)")
    shown = json.loads(daemon.queue(alice, "-j", "1_3", "--all", "--json"))["jobs"][0]
    assert shown["params"] == {"bs": "64", "opt": "adam", "lr": "$(id)"}
    theirs = json.loads(daemon.queue(bob, "-j", "1_3", "--all", "--json"))["jobs"][0]
    assert (theirs["params"], theirs["command"], theirs["name"]) == (None, None, None)


def test_wait_gives_the_highest_code_of_all_tasks(daemon: Daemon, alice: User) -> None:
    line = "exit $((MGPU_ARRAY_TASK_ID * 3))"
    done = daemon.srun(alice, *SHARED, "--wait", "--array", "0-2", "--", "sh", "-c", line)
    assert done.returncode == 6
    notes = {line.split("note: ")[1] for line in done.stderr.splitlines()}
    assert notes == {f"job 1_{n} ended: FAILED (exit code {n * 3})" for n in (1, 2)}


def test_some_tasks_are_cancelled_and_others_held(daemon: Daemon, alice: User, bob: User) -> None:
    job = daemon.submit(alice, *SHARED, "--array", "0-99999%1", "--", "sleep", "600")
    eventually(lambda: "1_0 " in daemon.queue(alice, "-t", "R"))
    assert daemon.command(alice, ["mgpu_job", "hold", "1_[4-6]"]).returncode == 0
    assert daemon.cancel(bob, "1_5").returncode == 1
    assert daemon.cancel(alice, "1_[1-3,7]", "1_0").returncode == 0
    eventually(lambda: "1_8 " in daemon.queue(alice, "-t", "R"))
    waiting = daemon.queue(alice, "-t", "PD", "-h", "-o", "%i %r").splitlines()
    assert sorted(waiting) == ["1_[4-6%1] JobHeldUser", "1_[9-99999%1] JobArrayTaskLimit"]
    changed = daemon.command(alice, ["mgpu_job", "update", "1", "--max-concurrent", "3"])
    assert changed.stdout == "Changed job 1\n"
    eventually(lambda: len(daemon.queue(alice, "-t", "R", "-h").splitlines()) == 3)
    daemon.kill9_scheduler()
    daemon.wait_ready()
    assert daemon.cancel(alice, str(job)).returncode == 0
    eventually(lambda: not daemon.jobs("-u", "alice"))
    ends = {row["tasks"]: row["state"] for row in daemon.jobs("-j", "1", "--all")}
    assert ends["11-99999"] == ends["4-6"] == ends["1-3,7"] == ends["8"] == "CANCELLED"
