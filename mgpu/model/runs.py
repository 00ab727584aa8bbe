"""What is kept of each attempt of a job once it is over: the history that is accounted for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt that is over, or a job that ended without one (``attempt`` 0).

    Times are Unix times. ``state`` says how it ended, ``final`` whether the job ended with it.
    ``started`` is None where its program was never seen to run. ``wait`` are the seconds from when
    a job could start (its submission, or its ``--begin``) to its first start. ``tasks`` are the
    tasks of an array that ended together. ``gpus`` are UUIDs; ``gpu_mem`` and ``time_limit`` are
    what was asked for. The rest is what was seen for ``seen`` seconds of it: the most and the mean
    MiB on one GPU, the mean utilization of its GPUs in percent, and the seconds for which all of
    them were idle; None where the driver does not tell.
    """

    job: int
    attempt: int
    uid: int
    user: str
    project: str
    state: str
    final: bool
    submitted: float
    ended: float
    started: float | None = None
    wait: float | None = None
    array: int = 0
    tasks: int = 1
    code: int | None = None
    signal: int | None = None
    gpus: tuple[str, ...] = ()
    gpu_mem: int | None = None
    time_limit: int | None = None
    peak: int | None = None
    mean: float | None = None
    utilization: float | None = None
    idle: float | None = None
    seen: float = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds for which it ran."""
        return 0.0 if self.started is None else max(0.0, self.ended - self.started)

    @property
    def gpu_seconds(self) -> float:
        """Seconds of one GPU that it had."""
        return self.elapsed * len(self.gpus)
