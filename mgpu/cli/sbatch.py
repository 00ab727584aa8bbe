"""mgpu_sbatch: submit a script, with sbatch's meaning of every option."""

from __future__ import annotations

from typing import NoReturn

from mgpu.cli import slurm_words
from mgpu.cli.base import CONTEXT, run
from mgpu.cli.srun import SubmitCommand, srun

_HELP = """Submit SCRIPT, to run as you, here, when its GPUs are free.

SCRIPT begins with #! and may go on with lines of options: #SBATCH --gpus=1, as here, or #MGPU
--gpus 1, as of mgpu_srun. Without it, or as -, it is read from standard input. Its content is
copied now.

--mem is memory of the machine here, and --gpu-mem that of each GPU. One node, one task and any
partition may be asked for; what mgpu cannot honour is refused by its name.

Example: mgpu_sbatch --gpus=1 --mem=16G -t 2:00:00 train.sh
"""

sbatch = SubmitCommand(
    "mgpu_sbatch",
    context_settings=CONTEXT | {"allow_interspersed_args": False},
    callback=srun.callback,
    params=slurm_words.options_like(srun.params),
    help=_HELP,
)


def main() -> NoReturn:
    """The program mgpu_sbatch."""
    run(sbatch)
