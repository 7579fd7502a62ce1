"""How far back the records of steps go."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Extent:
    """What there is. Times are unix seconds by Redis's clock; None where there is nothing."""

    oldest: float | None
    newest: float | None
    entries: int
    """An entry holds the records of one call: of one message, or of hundreds."""
    bytes: int
