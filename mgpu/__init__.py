"""mgpu: a scheduler that shares the GPUs of one Linux machine among its Unix users."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mgpu.client import Client as Client
    from mgpu.model.errors import MgpuError as MgpuError

__version__ = "0.1.0"
__all__ = ["Client", "MgpuError", "__version__"]


def __getattr__(name: str) -> object:
    """Load the public API on first use: the daemon's processes never need it."""
    if name == "Client":
        from mgpu.client import Client

        return Client
    if name == "MgpuError":
        from mgpu.model.errors import MgpuError

        return MgpuError
    raise AttributeError(f"module 'mgpu' has no attribute {name!r}")
