"""What Prometheus is shown, and the server that shows it, whatever its clients do."""

from __future__ import annotations

import asyncio
import json
import re
import select
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mgpu.cli import document_metrics
from mgpu.metrics import server as web
from mgpu.metrics.main import place_of
from mgpu.metrics.page import written
from mgpu.metrics.server import Server
from mgpu.model.metrics import BUCKETS, COUNTER, HISTOGRAM, METRICS

ROOT = Path(__file__).resolve().parents[3]
DASHBOARD = ROOT / "packaging/grafana/mgpu.json"


def shown(page: bytes) -> dict[tuple[str, ...], float]:
    """The values of a page by name and labels."""
    families = text_string_to_metric_families(page.decode())
    return {
        (one.name, *(f"{k}={v}" for k, v in sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }


def test_a_page() -> None:
    buckets = [0.0] * (len(BUCKETS["mgpu_wait_seconds"]) + 2)
    buckets[1], buckets[-2], buckets[-1] = 2.0, 1.0, 99.5
    samples = [
        ("mgpu_jobs", ("PENDING",), 3),
        ("mgpu_jobs_ended_total", ("normal", "FAILED"), 2),
        ("mgpu_wait_seconds", ("normal",), buckets),
        ("mgpu_gpu_info", ("gpu0", "GPU-1", 'a "b"\\c\nd'), 1),
    ]
    found = shown(written(samples, 0.5))
    assert found["mgpu_up",] == 1
    assert found["mgpu_snapshot_age_seconds",] == 0.5
    assert found["mgpu_jobs", "state=PENDING"] == 3
    assert found["mgpu_jobs_ended_total", "class=normal", "state=FAILED"] == 2
    assert found["mgpu_wait_seconds_bucket", "class=normal", "le=1.0"] == 0
    assert found["mgpu_wait_seconds_bucket", "class=normal", "le=10.0"] == 2
    assert found["mgpu_wait_seconds_bucket", "class=normal", "le=+Inf"] == 3
    assert found["mgpu_wait_seconds_sum", "class=normal"] == 99.5
    assert found["mgpu_gpu_info", "gpu=gpu0", 'model=a "b"\\c\nd', "uuid=GPU-1"] == 1


def test_a_scheduler_that_has_not_answered_for_long_is_down() -> None:
    assert shown(written([("mgpu_jobs", ("PENDING",), 3)], None)) == {("mgpu_up",): 0}


def test_what_is_not_in_the_table_is_not_shown() -> None:
    page = written([("mgpu_secret", (), 1), ("mgpu_jobs", ("a", "b"), 1)], 0.0)
    assert set(shown(page)) == {("mgpu_up",), ("mgpu_snapshot_age_seconds",)}


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_described_and_named_as_prometheus_wants(name: str) -> None:
    metric = METRICS[name]
    assert f"| `{name}` | {metric.kind} |" in document_metrics.written()
    assert re.fullmatch(r"mgpu_[a-z_]+", name)
    assert name.endswith("_total") == (metric.kind == COUNTER)
    assert (name in BUCKETS) == (metric.kind == HISTOGRAM)
    assert metric.help.endswith(".")


def test_the_dashboard_shows_metrics_that_exist() -> None:
    text = DASHBOARD.read_text()
    names = {re.sub(r"_(bucket|sum|count)$", "", one) if one not in METRICS else one
             for panel in json.loads(text)["panels"] for target in panel.get("targets", ())
             for one in re.findall(r"\bmgpu_\w+", target["expr"])}  # fmt: skip
    assert names
    assert names <= set(METRICS)


def test_every_kind_of_metric_is_in_the_dashboard() -> None:
    text = DASHBOARD.read_text()
    for name in ("mgpu_jobs", "mgpu_wait_seconds_bucket", "mgpu_jobs_ended_total",
                 "mgpu_gpu_state", "mgpu_gpu_memory_used_bytes", "mgpu_class_utilization_ratio",
                 "mgpu_turn_seconds_bucket", "mgpu_up"):  # fmt: skip
        assert name in text


@pytest.mark.parametrize(
    ("listen", "place"), [("127.0.0.1:9105", ("127.0.0.1", 9105)), ("[::1]:80", ("::1", 80))]
)
def test_where_it_listens(listen: str, place: tuple[str, int]) -> None:
    assert place_of(listen) == place


# -- clients --------------------------------------------------------------------------------------

Client = Callable[[str, int], Awaitable[None]]


def serve(client: Client, *, page: bytes = b"# a page\n", longest: float = 1.0) -> None:
    """Run ``client`` against a server."""

    async def run() -> None:
        async def made() -> bytes:
            return page

        server = await Server(made, longest=longest).listen("127.0.0.1", 0)
        async with server:
            host, port = server.sockets[0].getsockname()[:2]
            await asyncio.wait_for(client(host, port), 20)

    asyncio.run(run())


async def ask(host: str, port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


GOOD = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (GOOD, b"200 OK"),
        (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", b"200 OK"),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", b"200 OK"),
        (b"GET / HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"GET /../metrics HTTP/1.1\r\n\r\n", b"404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 99999\r\n\r\n", b"405 Method Not Allowed"),
        (b"\r\n\r\n", b"400 Bad Request"),
        (b"GET /metrics\r\n\r\n", b"400 Bad Request"),
        (b"GET /metrics SPDY/3\r\n\r\n", b"400 Bad Request"),
        (b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 20_000, b"431 Request Header Fields"),
    ],
)
def test_a_request(request_: bytes, status: bytes) -> None:
    async def client(host: str, port: int) -> None:
        answer = await ask(host, port, request_)
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert answer.endswith(b"\r\n\r\n# a page\n") == (
            status == b"200 OK" and not request_.startswith(b"HEAD")
        )

    serve(client)


def test_who_says_nothing_is_hung_up_on() -> None:
    async def client(host: str, port: int) -> None:
        assert await ask(host, port, b"GET /metr") == b""

    serve(client, longest=0.2)


def test_who_does_not_read_is_hung_up_on() -> None:
    async def client(host: str, port: int) -> None:
        with socket.create_connection((host, port)) as slow:
            slow.send(GOOD)
            await asyncio.to_thread(select.select, [], [], [slow], 0.6)
            taken = await asyncio.to_thread(_drain, slow)
        assert taken < 1 << 25

    serve(client, page=b"x" * (1 << 25), longest=0.3)


def _drain(sock: socket.socket) -> int:
    """Bytes that still come."""
    taken = 0
    with suppress(ConnectionResetError):
        while more := sock.recv(1 << 20):
            taken += len(more)
    return taken


def test_idle_connections_make_room_for_a_scraper() -> None:
    async def client(host: str, port: int) -> None:
        idle = [socket.create_connection((host, port)) for _ in range(web.MOST_CONNECTIONS)]
        for one in idle:
            one.send(b"GET /m")
        assert (await ask(host, port, GOOD)).startswith(b"HTTP/1.1 200")
        for one in idle:
            one.close()

    serve(client, longest=30.0)
