"""Why an attempt came to nothing, in a form that travels from the job's child to the scheduler."""

from __future__ import annotations

import errno
import os

#: Causes that pass by themselves: the job waits and is tried again.
PASSING = frozenset(
    {
        *(errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EINTR, errno.ETXTBSY),
        *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH),
    }
)


class Refusal(Exception):
    """Nothing of the user's was executed.

    ``stage`` is the step that failed (a name of ``job.STEPS`` or of the supervisor's own);
    ``transient`` says whether trying again can help, and follows from ``code`` if not given.
    """

    def __init__(
        self, stage: str, code: int, detail: str, *, transient: bool | None = None
    ) -> None:
        super().__init__(stage, code, detail)
        self.stage = stage
        self.code = code
        self.detail = detail
        self.transient = code in PASSING if transient is None else transient

    def fields(self) -> dict[str, object]:
        """What is told of it."""
        why = {"stage": self.stage, "errno": self.code, "detail": self.detail}
        return {**why, "transient": self.transient}

    @classmethod
    def of(cls, stage: str, error: OSError, what: str = "") -> Refusal:
        """The refusal that ``error`` means at ``stage``, where ``what`` was attempted."""
        code = error.errno or 0
        reason = os.strerror(code) if code else str(error)
        advice = error.strerror if error.strerror and error.strerror != reason else ""
        named = what or shown(error.filename)
        return cls(stage, code, ": ".join(part for part in (named, advice or reason) if part))


def shown(path: object) -> str:
    """A path (or nothing) as text for people; bytes that are no UTF-8 become ``\\xNN``."""
    if path is None:
        return ""
    return path.decode("utf-8", "backslashreplace") if isinstance(path, bytes) else str(path)


def died_early(status: int) -> Refusal:
    """The child ended without a report: somebody killed it."""
    code = os.waitstatus_to_exitcode(status)
    how = f"exit code {code}" if code >= 0 else f"signal {-code}"
    detail = f"it died before the program was executed ({how})"
    return Refusal("start", errno.ECHILD, detail, transient=True)
