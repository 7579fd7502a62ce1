"""UUIDs as Python's `uuid` makes them, in half the time: a message needs several."""

import os
from hashlib import sha1
from uuid import UUID, SafeUUID

CHOSEN = ~(0xF000C << 60)  # the bits that say nothing about the version
VERSION_4, VERSION_5 = 0x40008 << 60, 0x50008 << 60

_set = object.__setattr__  # a UUID refuses changes


def uuid4() -> UUID:
    """A random one."""
    return _of(int.from_bytes(os.urandom(16)) & CHOSEN | VERSION_4)


def uuid5(namespace: UUID, name: str) -> UUID:
    """Always the same for this name."""
    digest = sha1(namespace.int.to_bytes(16) + name.encode(), usedforsecurity=False).digest()
    return _of(int.from_bytes(digest[:16]) & CHOSEN | VERSION_5)


def _of(number: int) -> UUID:
    """`UUID(int=number)`, without its many checks."""
    made = UUID.__new__(UUID)
    _set(made, "int", number)
    _set(made, "is_safe", SafeUUID.unknown)
    return made
