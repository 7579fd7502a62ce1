"""What became of messages that were to be published."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """What became of messages: their task ids, in the order in which they were given."""

    accepted: tuple[str, ...] = ()  # in the queue, by this call
    duplicates: tuple[str, ...] = ()  # published before: nothing happened
    refused: tuple[str, ...] = ()  # certainly not in the queue by this call
    unknown: tuple[str, ...] = ()  # sent, and no answer came: publish them again to know
    # These are duplicates, too, whose work is not done:
    missing: tuple[str, ...] = ()  # their message does not wait, and is not claimed, due or dead: see README
    unchecked: tuple[str, ...] = ()  # Redis holds too many messages to search for theirs

    def __add__(self, other: "Published") -> "Published":
        return Published(
            self.accepted + other.accepted,
            self.duplicates + other.duplicates,
            self.refused + other.refused,
            self.unknown + other.unknown,
            self.missing + other.missing,
            self.unchecked + other.unchecked,
        )
