"""Where notices go: addresses of mail and URLs, taken apart and checked, whoever wrote them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mgpu.model.units import quoted

MAILTO: Final = "mailto:"
MOST_URL: Final = 2048
MOST_MAIL: Final = 254

_MAIL: Final = re.compile(
    r"(?a)[A-Za-z0-9_!#$%&'*+/=?^`{|}~][A-Za-z0-9_!#$%&'*+/=?^`{|}~.-]{0,63}"
    r"@([A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9][A-Za-z0-9-]{0,62})*)"
)
_URL: Final = re.compile(
    r"(?a)(?P<slack>slack\+)?(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:(?P<port>\d{1,5}))?"
    r"(?P<path>[/?][!-\"$-\[\]-~]*)?(#(?P<secret>[!-\[\]-~]+))?"
)
_SLACK: Final = "hooks.slack.com"


@dataclass(frozen=True, slots=True)
class Url:
    """A URL that something is sent to. ``secret`` signs what is sent and is not sent itself."""

    scheme: str
    host: str
    port: int
    path: str
    secret: str = ""
    slack: bool = False

    @property
    def place(self) -> str:
        """Host and port, as headers name it."""
        usual = self.port == (443 if self.scheme == "https" else 80)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if usual else f"{host}:{self.port}"


def split_url(text: str) -> Url:
    """The parts of a URL; raises ValueError, which does not repeat it: it can hold a secret."""
    if len(text) > MOST_URL:
        raise ValueError(f"the URL has {len(text)} characters; at most {MOST_URL} are allowed")
    found = _URL.fullmatch(text)
    if found is None:
        raise ValueError("expected http:// or https://, a host and a path, without user or blanks")
    host = found["host"].strip("[]").lower()
    usual = 443 if found["scheme"] == "https" else 80
    port = int(found["port"] or usual)
    if not 0 < port < 65536:
        raise ValueError(f"{port} is no port")
    path = found["path"] or "/"
    path = path if path.startswith("/") else f"/{path}"
    slack = bool(found["slack"]) or host == _SLACK
    return Url(found["scheme"], host, port, path, found["secret"] or "", slack)


def check_mail(text: str) -> str:
    """``text``, if it is one plain address; raises ValueError."""
    if len(text) > MOST_MAIL or _MAIL.fullmatch(text) is None or ".." in text:
        raise ValueError(f"{quoted(text)} is no address; write one, as ada@example.org")
    return text


def domain_of(mail: str) -> str:
    """The part behind the @."""
    return mail.rpartition("@")[2].lower()
