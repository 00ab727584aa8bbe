"""The wire between clients and the scheduler: frames, codec, typed messages, versions. No I/O."""
