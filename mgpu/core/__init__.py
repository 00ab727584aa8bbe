"""Decisions: what may happen to jobs and what has to be done about it. Pure: no I/O, no clock."""
