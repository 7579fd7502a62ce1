"""What became of messages that were to be published."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """What became of messages: their task ids, in the order in which they were given."""

    accepted: tuple[str, ...] = ()
    """In the queue, by this call."""
    duplicates: tuple[str, ...] = ()
    """Published before: nothing happened."""
    refused: tuple[str, ...] = ()
    """Certainly not in the queue by this call."""
    unknown: tuple[str, ...] = ()
    """Sent, and no answer came: publish them again to know."""
    missing: tuple[str, ...] = ()
    """Duplicates, too, whose work is not done: their message does not wait, and is not claimed, due or dead."""
    unchecked: tuple[str, ...] = ()
    """Duplicates, too, whose work is not done: Redis holds too many messages to search for theirs."""

    def __add__(self, other: "Published") -> "Published":
        return Published(
            self.accepted + other.accepted,
            self.duplicates + other.duplicates,
            self.refused + other.refused,
            self.unknown + other.unknown,
            self.missing + other.missing,
            self.unchecked + other.unchecked,
        )
