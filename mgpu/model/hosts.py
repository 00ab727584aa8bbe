"""Which hosts webhooks may go to: public ones, and those that an administrator named."""

from __future__ import annotations

import ipaddress
from collections.abc import Container
from typing import Final

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
#: What this Python does not know to be special: 6to4 relays, and IPv6 for documentation and SIDs.
_SPECIAL: Final = tuple(
    map(ipaddress.ip_network, ("192.88.99.0/24", "2001:20::/27", "3fff::/20", "5f00::/16"))
)
_LOCAL: Final = ("localhost", ".localhost", ".local", ".internal", ".localdomain")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_public(text: str) -> bool:
    """Whether an address is one of the open Internet, also the IPv4 one inside of an IPv6 one."""
    try:
        address: Address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return all(_is_open(one) for one in (address, *_inner(address)))


def _is_open(address: Address) -> bool:
    shut = address.is_multicast or address.is_reserved or address.is_unspecified
    if isinstance(address, ipaddress.IPv6Address):
        shut = shut or address.is_site_local
    shut = shut or any(address in network for network in _SPECIAL)
    return address.is_global and not shut and not (address.is_private or address.is_link_local)


def _inner(address: Address) -> list[Address]:
    """The IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found: list[Address | None] = [address.ipv4_mapped, address.sixtofour]
    found += address.teredo or ()
    compatible = int(address) >> 32 == 0  # deprecated, as is ISATAP
    isatap = int(address) >> 32 & 0xFDFFFFFF == 0x5EFE
    if address in _NAT64 or compatible or isatap:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in found if one is not None]


def problem_of(host: str, allowed: Container[str]) -> str:
    """Why a host as it is written may not be reached, as far as that is known without asking."""
    if host in allowed:
        return ""
    local = host.rstrip(".").endswith(_LOCAL)
    looks_numeric = host.replace(".", "").isdigit() or ":" in host
    if local or (looks_numeric and not is_public(host)):
        return "its host is not one of the open Internet"
    return ""
