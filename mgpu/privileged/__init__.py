"""Everything that needs root: the launcher, the supervisors, and the one file of identities.

Nothing in here may import more than the standard library, msgpack, this package,
``mgpu.protocol.link``, ``mgpu.protocol.tty`` and ``mgpu.system.way``; modules that cost memory at
run time (dataclasses, typing, asyncio) stay out, since each running job holds one process of this
package.
"""
