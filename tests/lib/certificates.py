"""Certificates for servers on loopback, and who has signed them."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import trustme


class Authority:
    """Signs certificates; its own is in ``file``."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self.file = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.file)
        self.file.chmod(0o644)

    def server(self, *names: str, until: datetime | None = None) -> ssl.SSLContext:
        """What a server of these names shows."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*names, not_after=until).configure_cert(context)
        return context


#: A moment that has passed.
PAST = datetime(2020, 1, 1, tzinfo=UTC)
