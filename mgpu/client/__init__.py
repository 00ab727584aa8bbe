"""The public Python API: ask the scheduler of this machine.

>>> from mgpu import Client
>>> with Client() as mgpu:
...     job = mgpu.submit(["python", "train.py"], gpus=1, gpu_mem="8G")
...     print(mgpu.wait(job)[job].state)
"""

from __future__ import annotations

from mgpu.client.api import Client as Client
from mgpu.model.errors import MgpuError as MgpuError

__all__ = ["Client", "MgpuError"]
