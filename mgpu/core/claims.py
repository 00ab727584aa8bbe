"""What reservations claim of GPUs, and whom that keeps off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

Claims = Mapping[str, "tuple[Claim, ...]"]
Rights = frozenset[int]

NO_CLAIMS: Final[Claims] = {}
NO_RIGHTS: Final[Rights] = frozenset()


#: Seconds for which a job is to run, where it is known that it will be switched out then.
WORTHWHILE: Final = 300.0


class Claim(NamedTuple):
    """A reservation has a GPU from ``start`` to ``end`` (boot times)."""

    start: float
    end: float
    reservation: int
    preempt: bool


def barrier(
    on_gpu: Iterable[Claim], rights: Rights, now: float, end: float, *, requeue: bool
) -> Claim | None:
    """The first claim that keeps a job off a GPU, or None where it may start.

    ``on_gpu`` are the GPU's claims, ``now`` the boot time of the start, ``end`` that at which
    the job is over at the latest (infinite without a limit); ``requeue`` says that it may be
    switched out.
    """
    for claim in on_gpu:
        if claim.end <= now or claim.reservation in rights or end <= claim.start:
            continue
        if claim.start < now + WORTHWHILE or not (claim.preempt and requeue):
            return claim
    return None
