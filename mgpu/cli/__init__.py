"""Thin commands: parse, ask, render; no policy."""
