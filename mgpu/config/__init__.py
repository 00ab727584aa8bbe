"""The configuration: one table gives the parser, the check, the defaults and the documentation."""

from __future__ import annotations

from mgpu.config.load import DEFAULT_PATH, config_file, load_settings
from mgpu.config.problems import ConfigError, Problem

__all__ = ["DEFAULT_PATH", "ConfigError", "Problem", "config_file", "load_settings"]
