"""Defects that a request brings to light: they are its answer, and never the end of the others'."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from mgpu.model.errors import MgpuError
from mgpu.store.base import StoreError
from mgpu.system.log import log


@contextmanager
def contained(about: str, uid: int) -> Iterator[None]:
    """Turn an exception that nobody foresaw into MgpuError, and note where it came from.

    Only what changes nothing before it raises may be contained. What is wrong with the store is
    let through: it concerns everybody.
    """
    try:
        yield
    except (MgpuError, StoreError):
        raise
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{place.filename}:{place.lineno}"
        kind = type(error).__name__
        log.error("a defect", action="defect", request=about, uid=uid, error=kind, at=where)
        raise MgpuError(
            "Internal",
            f"mgpu met a defect of its own ({kind}) and did nothing",
            hint="tell the administrator: the log of mgpud says where",
        ) from error
