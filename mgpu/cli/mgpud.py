"""``mgpud``: its words and flags. What they need is loaded when one of them is asked for."""

from __future__ import annotations

import click

from mgpu import __version__
from mgpu.cli.base import CONTEXT_WITH_H
from mgpu.cli.lazy import Commands, LazyGroup

#: flag -> the setting that it overrides.
FLAGS = {
    "max_job_time": "scheduling.max_job_time",
    "runtime_dir": "paths.runtime_dir",
    "state_dir": "paths.state_dir",
    "log_level": "log.level",
    "gpus_backend": "gpus.backend",
    "gpus": "gpus.devices",
}

_WORDS = "mgpu.cli.mgpud_words"
COMMANDS: Commands = {
    "check": ("Judge a configuration file.", _WORDS, "check"),
    "end-jobs": ("End all running jobs, so that they go on later.", _WORDS, "end_jobs"),
    "hold-jobs": ("", _WORDS, "hold_jobs"),
    "init": ("Write a configuration that fits this machine.", _WORDS, "init"),
}


@click.group(
    cls=LazyGroup,
    known=COMMANDS,
    invoke_without_command=True,
    context_settings=CONTEXT_WITH_H,
)
@click.option("--config", metavar="PATH", help="Configuration file.  [/etc/mgpu/config.toml]")
@click.option("--max-job-time", metavar="DURATION", help="No job runs longer in one go: 2h30m.")
@click.option("--runtime-dir", metavar="DIR", help="Folder of the sockets.")
@click.option("--state-dir", metavar="DIR", help="Folder of the queue's database.")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
@click.option("--gpus-backend", metavar="BACKEND", help="auto, nvml or simulated.")
@click.option("--gpus", metavar="INDICES", help="The GPUs that jobs are started on: 0-1,3.")
@click.version_option(__version__, prog_name="mgpud")
@click.pass_context
def main(context: click.Context, /, config: str | None, **flags: str | None) -> None:
    """Run the mgpu daemon in the foreground. Needs root; every flag overrides the configuration.

    SIGTERM stops it and leaves jobs running. Installed as mgpu_scheduler_server too.
    """
    if context.invoked_subcommand is None:
        from mgpu.cli.mgpud_run import start

        start(config, {FLAGS[name]: value for name, value in flags.items()})


if __name__ == "__main__":
    main(prog_name="mgpud")
