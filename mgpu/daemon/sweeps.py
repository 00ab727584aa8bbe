"""The tasks that a submission asks for: an array, a sweep, or chosen combinations of a sweep."""

from __future__ import annotations

from mgpu.model import sweep
from mgpu.model.errors import MgpuError
from mgpu.model.tasks import Tasks, parse_tasks
from mgpu.protocol.extras import Extras


def tasks_of(extras: Extras) -> tuple[Tasks | None, int]:
    """The tasks and how many may run at once (0: no bound); None for a single job."""
    grid = extras.sweep
    if grid is not None:
        sweep.check(grid)
        sweep.check_template(extras.name_template, grid)
    elif extras.name_template:
        raise _bad("name_template", "there are no parameters to put in; give some with --param")
    if not extras.array and grid is None:
        if extras.max_concurrent is not None:
            raise _bad("max_concurrent", "only an array or a sweep has tasks")
        return None, 0
    tasks, bound = parse_tasks(extras.array or f"0-{grid.count - 1 if grid else 0}")
    if grid is not None and tasks.last >= grid.count:
        raise _bad("array", f"{tasks.last}: the parameters give tasks 0 to {grid.count - 1}")
    if extras.max_concurrent is None or bound in (0, extras.max_concurrent):
        return tasks, extras.max_concurrent or bound
    most = extras.max_concurrent
    raise _bad("max_concurrent", f"{most} and %{bound} say the same thing: give one of them")


def _bad(field: str, what: str) -> MgpuError:
    return MgpuError("BadRequest", what, path=f"spec.{field}")
