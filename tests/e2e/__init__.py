"""Everything for real: root, Unix users, processes, sockets. Runs inside tests/lib/nsbox."""
