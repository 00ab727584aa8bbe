"""Addresses of mail and URLs: what is one, and what is refused."""

from __future__ import annotations

import pytest

from mgpu.model.address import Url, check_mail, split_url
from mgpu.model.notice import ENDS, EVENTS, MAIL_TYPES, OF_JOBS, events_of


@pytest.mark.parametrize("text", ["a@b", "ada@example.org", "a.b+c_d'e@x-1.y.de", "1@2.3"])
def test_an_address(text: str) -> None:
    assert check_mail(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "@b", "a@", "-a@b.de", "a@-b.de", "a@b@c", "a@b.de\n", "a\r@b.de", "a b@c.de"),
        *("a@b.de,c@d.de", "a@b.de;c@d.de", "<a@b.de>", "A <a@b.de>", '"a"@b.de', "a..b@c.de"),
        *(
            "a@b..de",
            "ä@b.de",
            "a@b.de\0",
            "x" * 65 + "@b.de",
            "a@" + "b" * 300,
            "a@b.de/x",
            ".a@b",
        ),
    ],
)
def test_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        check_mail(text)


def test_a_url_is_taken_apart() -> None:
    assert split_url("https://h.org/p?q=1#s") == Url("https", "h.org", 443, "/p?q=1", "s")
    assert split_url("http://H.org:81") == Url("http", "h.org", 81, "/")
    assert split_url("http://h.org?x") == Url("http", "h.org", 80, "/?x")
    assert split_url("https://[2606:4700::1]:8443/") == Url("https", "2606:4700::1", 8443, "/")
    assert split_url("slack+https://h.org/x").slack
    assert split_url("https://hooks.slack.com/services/T").slack


@pytest.mark.parametrize(
    "text",
    [
        *("", "h.org", "file:///etc/passwd", "ftp://h.org/", "gopher://h/", "javascript:x"),
        *("http://", "http:///x", "http://u@h.org/", "http://u:p@h.org/", "http://h.org/a b"),
        *("http://h.org/\r\nX: y", "http://h.org/\t", "http://h.org\\@i.org/", "http://h.org:x/"),
        *("http://h.org:0/", "http://h.org:99999/", "http://hé.org/", "http://h.org/é", "//h.org"),
        *("http://[::1/", "HTTP://h.org/", "http://h.org/#", "http://h.org/" + "x" * 2048),
    ],
)
def test_no_url(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|is no port|characters") as caught:
        split_url(text)
    assert len(text) < 8 or text not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "events", "tasks"),
    [
        ((), ENDS, False),
        (("ARRAY_TASKS",), ENDS, True),
        (("NONE",), (), False),
        (("begin", "END"), ("job_started", *ENDS), False),
        (("FAIL", "TIME_LIMIT", "job_held"), ("job_failed", "job_timeout", "job_held"), False),
        (("TIME_LIMIT_90", "time_limit_50"), ("job_time_limit_90", "job_time_limit_50"), False),
        (("ALL", "ARRAY_TASKS"), ("job_started", *ENDS, "job_requeued"), True),
    ],
)
def test_words_of_mail_type(words: tuple[str, ...], events: tuple[str, ...], tasks: bool) -> None:
    assert events_of(words) == (events, tasks)


@pytest.mark.parametrize(
    "word", ["", "SOON", "TIME_LIMIT_70", "STAGE_OUT", "gpu_fault", "JOB_HELD"]
)
def test_a_word_that_there_is_not(word: str) -> None:
    with pytest.raises(ValueError, match="is none of NONE, BEGIN"):
        events_of((word,))


def test_words_of_mail_type_mean_events_of_jobs() -> None:
    assert {event for events in MAIL_TYPES.values() for event in events} <= set(OF_JOBS)
    assert set(OF_JOBS) < set(EVENTS)
