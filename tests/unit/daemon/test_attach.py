"""A client that wants a terminal: it hears why it waits, and is handed a line to the supervisor."""

from __future__ import annotations

import socket

import pytest

from mgpu.protocol import link
from mgpu.protocol.codec import unpack_reply
from mgpu.protocol.frames import FrameDecoder
from tests.unit.daemon.outside import Map, Supervisor
from tests.unit.daemon.rig import ALICE, BOB, Client, Rig, a_submit, open_fds

TTY = [24, 80]


def attach(client: Client, job: int, **fields: object) -> list[Map]:
    return client.ask({"op": "attach", "job": job, **fields})


def line_of(client: Client) -> tuple[Map, socket.socket]:
    """The last message that came, with the socket that came with it."""
    data, fds, _, _ = socket.recv_fds(client.sock, 1 << 16, 2)
    *_, body = FrameDecoder(1 << 20).feed(data)
    (fd,) = fds
    return unpack_reply(body), socket.socket(fileno=fd)


def asked(supervisor: Supervisor) -> tuple[Map, socket.socket]:
    """What the supervisor was asked, and the socket that came with it."""
    received = link.recv(supervisor.sock)
    assert received is not None
    message, (fd,) = received
    return message, socket.socket(fileno=fd)


def test_a_line_leads_from_the_client_to_the_supervisor(rig: Rig) -> None:
    job = rig.submit(tty=TTY)
    client = rig.client()
    client.send({"op": "attach", "job": job, "read_only": True})
    rig.settle()
    answer, near = line_of(client)
    assert answer == {"ok": {"attempt": 1}}
    message, far = asked(rig.supervisor(job))
    assert message == {"op": "attach", "read_only": True}
    with near, far:
        near.send(b"hello")
        assert far.recv(100) == b"hello"


def test_who_waits_hears_why_and_gets_its_line_in_the_turn_of_the_start(rig: Rig) -> None:
    first = rig.submit(gpus=2)
    job = rig.submit(tty=TTY, gpus=2)
    client = rig.client()
    (why,) = attach(client, job)
    assert why["part"]["state"] == "PENDING"
    assert why["part"]["reason"] == "Resources"
    rig.supervisor(first).runs()
    rig.supervisor(first).ends()
    answer, near = line_of(client)
    _, far = asked(rig.supervisor(job))
    assert answer["ok"] == {"attempt": 1}
    near.close()
    far.close()


def test_a_job_that_ended_is_told_as_by_wait(rig: Rig) -> None:
    job = rig.submit(tty=TTY)
    rig.supervisor(job).runs()
    client = rig.client()
    assert attach(client, job, after=1)[0]["part"]["state"] == "RUNNING"
    rig.supervisor(job).ends(code=3)
    ((told),) = client.take()
    assert told["ok"]["job"][:3] == [job, "FAILED", 3]
    assert attach(rig.client(), job) == [told]


def test_a_job_is_attached_to_by_its_owner_alone(rig: Rig) -> None:
    job = rig.submit(tty=TTY)
    for uid, admin in ((BOB, False), (0, False), (0, True)):
        error = rig.client(uid, admin=admin).one({"op": "attach", "job": job})["error"]
        unknown = rig.client(uid, admin=admin).one({"op": "attach", "job": 99})["error"]
        assert error["code"] == "UnknownJob"
        assert error["message"].replace(str(job), "99") == unknown["message"]
    assert not [heard for heard in rig.supervisor(job).hears() if heard["op"] == "attach"]


def test_a_job_without_a_terminal_says_how_its_output_is_seen(rig: Rig) -> None:
    job = rig.submit()
    error = attach(rig.client(), job)[0]["error"]
    assert error["message"] == f"job {job} has no terminal: it was submitted without --interactive"
    assert error["hint"] == f"see what it writes with: mgpu_job log -f {job}"


@pytest.mark.parametrize("other", [{"array": "0-3"}, {"cron": "* * * * *"}, {"error": b"e"}])
def test_a_terminal_is_for_one_job_and_all_of_its_output(rig: Rig, other: Map) -> None:
    answer = rig.client().one(a_submit(tty=TTY, **other))
    assert answer["error"]["path"] == f"spec.{next(iter(other))}"


def test_a_client_that_goes_while_it_waits_is_forgotten(rig: Rig) -> None:
    rig.submit(gpus=2)
    job = rig.submit(tty=TTY, gpus=2)
    before = open_fds()
    client = rig.client()
    attach(client, job)
    client.close()
    rig.settle()
    assert not rig.scheduler._dispatcher.attaching._wishes
    assert open_fds() == before


def test_no_descriptor_is_left_of_a_line_that_was_handed_over(rig: Rig) -> None:
    job = rig.submit(tty=TTY)
    before = open_fds()
    client = rig.client()
    client.send({"op": "attach", "job": job})
    rig.settle()
    for line in (line_of(client)[1], asked(rig.supervisor(job))[1], client):
        line.close()
    rig.settle()
    assert open_fds() == before


def test_a_connection_is_for_one_line(rig: Rig) -> None:
    """What was handed over and is not taken yet counts against the connections of its user."""
    job = rig.submit(tty=TTY)
    client = rig.client()
    client.send({"op": "attach", "job": job}, {"op": "ping"})
    rig.settle()
    _, near = line_of(client)
    rig.settle()
    assert client.take() == []
    near.close()
    assert rig.client(ALICE).one({"op": "ping"})["ok"]


def test_why_an_attempt_is_over_is_told_with_the_next(rig: Rig) -> None:
    """While it waits for that, and with the line to it."""
    job = rig.submit(tty=TTY, gpus=2, time_limit=60)
    rig.supervisor(job).runs()
    second = rig.submit(gpus=2)
    waits = rig.client()
    waits.send({"op": "attach", "job": job, "after": 1})
    rig.settle()
    assert "over" not in waits.take()[0]["part"]
    rig.supervisor(job).ends(code=None, signal=15, cause="timelimit")
    (why, *_) = waits.take()
    assert (why["part"]["state"], why["part"]["over"]) == ("PENDING", "time limit")
    rig.supervisor(second).runs()
    rig.supervisor(second).ends()
    answer, near = line_of(waits)
    assert answer["ok"] == {"attempt": 2, "over": "time limit"}
    near.close()
