"""Kills and faults at chosen points, and what must be left after them."""
