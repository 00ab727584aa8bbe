"""One delivery, in a process of its own that ends with it, whatever its target does."""

from __future__ import annotations

import http.client
import os
import resource
import signal
import smtplib
import socket
import ssl
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from mgpu.model.address import MAILTO, split_url
from mgpu.notify import mail, tls, webhook
from mgpu.notify.reach import Refused
from mgpu.notify.webhook import Parcel, Result
from mgpu.system.process import end_with

#: Address space that an answer can make it use.
_MEMORY: Final = 512 << 20


def confine(seconds: float, parent: int) -> None:
    """End after so long, with the notifier (``parent``), and before memory is gone."""
    end_with(parent)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def attempt(settings: Mapping[str, Any], target: str, parcel: Parcel, now: float) -> Result:
    """Deliver; whatever goes wrong is told in words that name no part of the target."""
    try:
        return _deliver(settings, target, parcel, now)
    except Refused as error:
        return Result(delivered=False, why=str(error))
    except socket.gaierror as error:
        passing = error.errno in (socket.EAI_AGAIN, socket.EAI_SYSTEM)
        return Result(delivered=False, passing=passing, why="its host's name is not known")
    except ssl.SSLError as error:
        return Result(delivered=False, passing=True, why=tls.problem(error))
    except tls.Unusable as error:
        return Result(delivered=False, passing=True, why=str(error))
    except TimeoutError:
        return Result(delivered=False, passing=True, why="no answer in time")
    except smtplib.SMTPServerDisconnected:
        why = "the mail server hangs up, or does not answer"
        return Result(delivered=False, passing=True, why=why)
    except (http.client.HTTPException, smtplib.SMTPException) as error:
        why = f"not an answer: {type(error).__name__}"
        return Result(delivered=False, passing=True, why=why)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        return Result(delivered=False, passing=True, why=why)
    except (ValueError, KeyError, MemoryError) as error:
        return Result(delivered=False, why=f"cannot be sent: {type(error).__name__}")


def _deliver(settings: Mapping[str, Any], target: str, parcel: Parcel, now: float) -> Result:
    timeout = float(settings["notices.timeout"])
    host = os.uname().nodename
    if target.startswith(MAILTO):
        to = [target.removeprefix(MAILTO)]
        return mail.send(settings, to, parcel, host=host, timeout=timeout, now=now)
    kind, _, name = target.partition(":")
    allowed, ca_file = settings["notices.allow_hosts"], settings["notices.ca_file"]
    post = partial(webhook.send, timeout=timeout, now=now, ca_file=ca_file)
    if kind not in ("webhook", "email"):
        return post(split_url(target), parcel, {}, allowed)
    known = {one["name"]: one for one in settings[f"notices.{kind}s"]}.get(name)
    if known is None:
        return Result(delivered=False, why="it is not configured any more")
    if kind == "email":
        return mail.send(settings, known["to"], parcel, host=host, timeout=timeout, now=now)
    url = split_url(known["url"])
    slack = url.slack or known["format"] == "slack"
    url = replace(url, slack=slack, secret=known["secret"] or url.secret)
    return post(url, parcel, known["headers"], allowed)
