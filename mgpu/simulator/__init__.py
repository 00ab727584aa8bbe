"""Replays a workload through the real core in virtual time, to compare policies."""
