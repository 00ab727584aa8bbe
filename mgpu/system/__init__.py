"""The operating system, one small file for each thing that is asked of it."""
