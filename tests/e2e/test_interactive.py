"""mgpu_srun --interactive and mgpu_job attach, as at a terminal."""

from __future__ import annotations

import os
import signal

import pexpect
import pytest

from tests.lib import processes
from tests.lib.daemon import Daemon
from tests.lib.terminal import Terminal
from tests.lib.users import User
from tests.lib.waiting import eventually

BASH = ("bash", "--norc", "--noprofile", "-i")


def shell(daemon: Daemon, user: User, *options: str, size: tuple[int, int] = (24, 80)) -> Terminal:
    """A shell on a GPU that has shown its first prompt."""
    words = ("mgpu_srun", "--interactive", *options, "--", *BASH)
    terminal = Terminal(daemon, user, *words, size=size)
    terminal.shows(r"\$ ")
    return terminal


def test_a_shell_has_a_terminal_and_job_control(daemon: Daemon, alice: User) -> None:
    with Terminal(daemon, alice, "mgpu_srun", "--pty", "--", *BASH, size=(33, 101)) as screen:
        screen.shows(r"\$ ")
        screen.press("tty; stty size; echo gpu=$CUDA_VISIBLE_DEVICES\n")
        screen.shows(r"/dev/pts/\d+\r\n33 101\r\ngpu=\d")
        screen.press("sh -c 'echo go; exec sleep 60'\n")
        screen.shows(r"\rgo\r\n")
        screen.press("\x1a")
        screen.shows("Stopped")
        screen.press("fg\n")
        screen.shows(r"\rsh -c 'echo go; exec sleep 60'\r\n")
        screen.press("\x03")
        screen.shows(r"\$ ")
        screen.press("exit 7\n")
        assert screen.ends() == 7
    assert daemon.job(1)["state"] == "FAILED"
    assert "no job control" not in daemon.output(alice, 1)


def test_the_start_tells_how_to_detach(daemon: Daemon, alice: User) -> None:
    with Terminal(daemon, alice, "mgpu_srun", "--interactive", "--", "echo", "hello") as screen:
        screen.shows(r"job 1; Ctrl-\\ d detaches and leaves it to run")
        screen.shows("hello\r\n")
        assert screen.ends() == 0


def test_nothing_of_a_short_job_is_missed(daemon: Daemon, alice: User) -> None:
    words = ["mgpu_srun", "--interactive", "--", "seq", "20000"]
    with Terminal(daemon, alice, *words) as screen:
        for last in ("1\r\n2\r\n", "9999\r\n10000\r\n", "19999\r\n20000\r\n"):
            screen.shows(last)
        assert screen.ends() == 0
    assert daemon.output(alice, 1).replace("\r", "").endswith("19999\n20000\n")


def test_the_size_of_the_window_follows(daemon: Daemon, alice: User) -> None:
    with shell(daemon, alice) as screen:
        screen.resize(40, 120)
        screen.press('until [ "$(stty size)" = "40 "120 ]; do :; done; echo foll""ows\n')
        screen.shows("follows")
        screen.press("exit\n")
        assert screen.ends() == 0


def test_a_full_screen_program(daemon: Daemon, alice: User) -> None:
    (alice.home / "long").write_text("".join(f"line {n}\n" for n in range(1, 500)))
    words = ["mgpu_srun", "--interactive", "--", "less", "long"]
    with Terminal(daemon, alice, *words) as screen:
        screen.shows("line 23")
        screen.press("G")
        screen.shows("line 499")
        screen.press("q")
        assert screen.ends() == 0


ON = r"\033[?1049;1003h\033[?25l\033="
OFF = r"\x1b>\x1b\[\?25h\x1b\[\?1003l\x1b\[\?1049l"


@pytest.mark.parametrize("how", ["detach", "death", "SIGTERM"])
def test_the_screen_of_a_full_screen_program_is_left(daemon: Daemon, alice: User, how: str) -> None:
    words = ["sh", "-c", f"printf '{ON}up'; read x; kill -9 $$"]
    with Terminal(daemon, alice, "mgpu_srun", "--interactive", "--", *words) as screen:
        screen.shows("up")
        if how == "SIGTERM":
            os.kill(screen.pid, signal.SIGTERM)
        else:
            screen.press("\x1cd" if how == "detach" else "\n")
        screen.shows(OFF)
        screen.ends()


def test_control_c_is_for_the_job(daemon: Daemon, alice: User) -> None:
    with Terminal(
        daemon, alice, "mgpu_srun", "--interactive", "--", "sh", "-c", "echo up; exec sleep 60"
    ) as screen:
        screen.shows("up")
        screen.press("\x03")
        assert screen.ends() == 130
    assert daemon.job(1)["signal"] == signal.SIGINT


def test_a_job_that_waits_says_why_and_can_be_left(daemon: Daemon, alice: User) -> None:
    first = daemon.submit(alice, "--gpus", "2", "--", "sleep", "60")
    with Terminal(daemon, alice, "mgpu_srun", "--interactive", "--", "cat") as screen:
        screen.shows("job 2 waits: Resources")
        daemon.cancel(alice, str(first))
        daemon.wait_state(2, "RUNNING")
        screen.press("echo\n")
        screen.shows("echo\r\necho\r\n")
        assert screen.detach() == 0
    assert daemon.job(2)["state"] == "RUNNING"


def test_control_c_while_it_waits_leaves_it_in_the_queue(daemon: Daemon, alice: User) -> None:
    daemon.submit(alice, "--gpus", "2", "--", "sleep", "60")
    with Terminal(daemon, alice, "mgpu_srun", "--interactive", "--", "cat") as screen:
        screen.shows("job 2 waits")
        screen.press("\x03")
        screen.shows("job 2 goes on; come back with: mgpu_job attach 2")
        assert screen.ends() == 130
    assert daemon.job(2)["state"] == "PENDING"


def test_detach_and_come_back(daemon: Daemon, alice: User) -> None:
    with shell(daemon, alice) as screen:
        screen.press("x=kept\n")
        screen.shows(r"\$ ")
        assert screen.detach() == 0
    with Terminal(daemon, alice, "mgpu_job", "attach", "@") as screen:
        screen.press("echo $x; exit 5\n")
        screen.shows("kept\r\n")
        assert screen.ends() == 5


def test_several_at_once_and_one_that_only_looks(daemon: Daemon, alice: User) -> None:
    with (
        shell(daemon, alice) as first,
        Terminal(daemon, alice, "mgpu_job", "attach", "1") as second,
        Terminal(daemon, alice, "mgpu_job", "attach", "1", "--read-only") as third,
    ):
        second.shows(r"job 1; Ctrl-\\ d detaches")
        third.shows(r"job 1, read-only; Ctrl-\\ d or Ctrl-C detaches and leaves it to run")
        second.shows(r"\$ ")  # it asked for what is on the screen
        eventually(lambda: _prompt_comes(second, third))
        third.press("echo evil\n")
        second.press("echo a$((1+1))b\n")
        for screen in (first, second, third):
            screen.shows("a2b")
        third.press("\x03")
        assert third.ends() == 0
        second.press("exit\n")
        assert first.ends() == second.ends() == 0
    assert "evil" not in daemon.output(alice, 1)


def _prompt_comes(typing: Terminal, looking: Terminal) -> bool:
    """Whether who looks is attached: a new prompt of who types is seen there too."""
    typing.press("\n")
    found: int = looking.child.expect([r"\$ ", pexpect.TIMEOUT], timeout=0.2)
    return found == 0


@pytest.mark.parametrize("how", ["SIGKILL", "SIGHUP", "window"])
def test_a_lost_connection_leaves_the_job(daemon: Daemon, alice: User, how: str) -> None:
    with shell(daemon, alice) as screen:
        if how == "window":
            screen.vanish()
        else:
            os.kill(screen.pid, getattr(signal, how))
            screen.ends()
    assert daemon.job(1)["state"] == "RUNNING"
    with Terminal(daemon, alice, "mgpu_job", "attach", "@") as screen:
        screen.press("exit 4\n")
        assert screen.ends() == 4


@pytest.mark.parametrize(("how", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interrupted_client_says_how_to_come_back(
    daemon: Daemon, alice: User, how: str, status: int
) -> None:
    daemon.submit(alice, "--gpus", "1", "--", "sleep", "600")
    for number, words in ((2, ("--gpus", "1")), (3, ("--gpus", "2"))):
        line = ("mgpu_srun", "--interactive", *words, "--", "sh", "-c", "echo up; exec sleep 600")
        with Terminal(daemon, alice, *line) as screen:
            screen.shows("up" if number == 2 else "job 3 waits")
            os.kill(screen.pid, getattr(signal, how))
            screen.shows(rf"\r\n.*job {number} goes on; come back with: mgpu_job attach {number}")
            assert screen.ends() == status


def test_nothing_is_said_of_keys_where_there_is_no_job(daemon: Daemon, alice: User) -> None:
    with Terminal(daemon, alice, "mgpu_job", "attach", "99") as screen:
        shown = screen.child.read()
    assert b"job 99: unknown, or not yours" in shown
    assert b"detaches" not in shown


def test_a_terminal_outlives_the_daemon(daemon: Daemon, alice: User) -> None:
    with shell(daemon, alice) as screen:
        daemon.kill9()
        screen.press("echo still $((40+2))\n")
        screen.shows("still 42")
        daemon.start()
        with Terminal(daemon, alice, "mgpu_job", "attach", "1") as other:
            other.press("echo again $((40+3))\n")
            for one in (screen, other):
                one.shows("again 43")
        screen.press("exit 6\n")
        assert screen.ends() == 6


def test_a_client_that_waits_outlives_the_scheduler(daemon: Daemon, alice: User) -> None:
    first = daemon.submit(alice, "--gpus", "2", "--", "sleep", "60")
    with Terminal(daemon, alice, "mgpu_srun", "--interactive", "--", "echo", "hi") as screen:
        screen.shows("job 2 waits")
        daemon.kill9_scheduler()
        eventually(lambda: daemon.command(alice, ["mgpu_info"]).returncode == 0)
        daemon.cancel(alice, str(first))
        screen.shows("hi\r\n")
        assert screen.ends() == 0


def test_after_a_requeue_the_client_waits_for_the_next_attempt(daemon: Daemon, alice: User) -> None:
    script = "echo attempt $MGPU_RESTART_COUNT; [ $MGPU_RESTART_COUNT = 1 ] || exec sleep 60"
    words = ["--time-limit", "1", "--", "sh", "-c", script]
    with Terminal(daemon, alice, "mgpu_srun", "--interactive", *words) as screen:
        screen.shows("attempt 0")
        screen.shows("attempt 1 is over: time limit")
        screen.shows("this is attempt 2")
        screen.shows(r"attempt 1\r\n")
        assert screen.ends() == 0


def test_a_cancel_ends_a_shell_at_once(daemon: Daemon, alice: User) -> None:
    """An interactive shell ignores SIGTERM; its terminal hangs up, as a window that is closed."""
    with shell(daemon, alice) as screen:
        daemon.cancel(alice, "1")
        screen.shows("job 1 ended: CANCELLED")
        assert screen.ends() != 0


def test_without_a_terminal(daemon: Daemon, alice: User) -> None:
    done = daemon.srun(alice, "--interactive", "--", "bash")
    assert done.returncode == 2
    assert "--interactive needs a terminal on standard input and output" in done.stderr
    assert "without one: use --follow" in done.stderr
    assert daemon.jobs() == []


def test_a_job_without_a_terminal_is_not_attached_to(daemon: Daemon, alice: User) -> None:
    daemon.submit(alice, "--", "sleep", "60")
    with Terminal(daemon, alice, "mgpu_job", "attach", "1") as screen:
        screen.shows("job 1 has no terminal: it was submitted without --interactive")
        assert screen.ends() == 1


def test_a_start_that_fails_is_told(daemon: Daemon, alice: User) -> None:
    with Terminal(daemon, alice, "mgpu_srun", "--interactive", "--", "/no/such") as screen:
        screen.shows("job 1 ended: LAUNCH_FAILED")
        assert screen.ends() == 1


# -- what others cannot do -------------------------------------------------------------------------


def test_only_the_owner_is_attached(daemon: Daemon, alice: User, bob: User) -> None:
    with shell(daemon, alice) as screen:
        with Terminal(daemon, bob, "mgpu_job", "attach", "1") as stranger:
            stranger.shows("job 1: unknown, or not yours")
            assert stranger.ends() == 1
        screen.press("exit\n")
        assert screen.ends() == 0


def test_the_terminal_is_its_users_and_closed_to_others(daemon: Daemon, alice: User) -> None:
    with shell(daemon, alice) as screen:
        screen.press("tty\n")
        path = screen.shows(r"/dev/pts/\d+")[0].decode()
        found = os.stat(path)
        # The group is tty, or where devpts says nothing of it the user's own, which gets no right.
        mode = "0o600" if found.st_gid == alice.gid else "0o620"
        assert (found.st_uid, oct(found.st_mode & 0o777)) == (alice.uid, mode)
        screen.press("exit\n")
        screen.ends()


def test_a_client_that_reads_nothing_slows_nobody(daemon: Daemon, alice: User) -> None:
    """It is stopped; the job writes 20 MB meanwhile, the log has them all, another client too."""
    words = ("mgpu_srun", "--interactive", "--", "sh", "-c", "read x; seq 2500000; echo over")
    with Terminal(daemon, alice, *words) as slow:
        slow.shows("detaches")
        daemon.wait_state(1, "RUNNING")
        os.kill(slow.pid, signal.SIGSTOP)
        with Terminal(daemon, alice, "mgpu_job", "attach", "1") as other:
            other.press("\n")
            assert other.ends() == 0
        daemon.wait_state(1, "COMPLETED")
        os.kill(slow.pid, signal.SIGCONT)
        slow.shows(r"\[mgpu\] \d+ bytes are not shown; the log has them")
        assert slow.ends() == 0
    lines = daemon.output(alice, 1).replace("\r", "").splitlines()
    assert lines[-2500001:] == [*map(str, range(1, 2500001)), "over"]


def test_no_descriptor_is_left_behind(daemon: Daemon, alice: User) -> None:
    with shell(daemon, alice) as screen:
        before = _descriptors(daemon)
        for _ in range(5):
            with Terminal(daemon, alice, "mgpu_job", "attach", "1") as other:
                other.shows(r"\$ ")
                other.detach()
        eventually(lambda: _descriptors(daemon), until=lambda now: now == before)
        screen.press("exit\n")
        screen.ends()


def _descriptors(daemon: Daemon) -> list[int]:
    """How many the scheduler and each process of the launcher has, supervisors among them."""
    pids = [daemon.scheduler_pid(), *sorted(processes.descendants(daemon.pid))]
    return [len(os.listdir(f"/proc/{pid}/fd")) for pid in pids]
