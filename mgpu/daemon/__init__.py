"""The scheduler process: sockets, identity, the queue, and the effects that follow decisions."""
