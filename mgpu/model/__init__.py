"""Frozen values that every layer speaks of: jobs, events, GPUs, units, errors. Pure."""
