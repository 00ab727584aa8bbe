"""Whom targets and mail servers must prove to be."""

from __future__ import annotations

import ssl

#: What is told of a certificate that is refused (X509_verify_cert_error_string(3)), but for names.
_WHY = {10: "it has expired", 9: "it is not valid yet", 62: "it is of another host"}
_WHY |= {64: "it is of another host"}  # of an address


class Unusable(Exception):
    """The file of ``notices.ca_file`` cannot be used."""


def context(ca_file: str) -> ssl.SSLContext:
    """Trusts the certificates that this machine trusts, and those in ``ca_file``, if it is given.

    Raises :class:`Unusable`.
    """
    found = ssl.create_default_context()
    try:
        if ca_file:
            found.load_verify_locations(ca_file)
    except OSError as error:
        why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise Unusable(f"notices.ca_file cannot be used: {why}") from error
    return found


def problem(error: ssl.SSLError) -> str:
    """What went wrong, in words that name nobody."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = _WHY.get(error.verify_code, "nobody who is trusted has signed it")
        return f"TLS: its certificate is refused: {why}"
    return f"TLS: {error.reason or 'failed'}"
