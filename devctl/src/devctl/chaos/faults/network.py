"""The link to Redis is slow, loses, falls silent. All through our proxy."""

from __future__ import annotations

from devctl.chaos.field import Field
from devctl.chaos.link import Link

LOSS = 0.01
DELAY_MS = 50.0


def lose(field: Field) -> None:
    """A hundredth of all requests and of all replies is lost, each with its connection."""
    link, seconds = _link(field), field.pick(5.0, 15.0)
    field.doing(f"losing {LOSS:.0%} for {seconds:.0f} s")
    before = link.counts()
    with field.strike(fired=0):
        link.rules(lose_requests=LOSS, lose_replies=LOSS)
        field.sleep(seconds)
        link.rules()
    after = link.counts()
    lost = {what: after[what] - before[what] for what in ("lost_requests", "lost_replies")}
    field.fired += sum(lost.values())
    field.check("requests were lost, and replies", all(lost.values()))


def delay(field: Field) -> None:
    """Each reply comes later."""
    link, seconds = _link(field), field.pick(4.0, 10.0)
    field.doing(f"+{DELAY_MS:.0f} ms for {seconds:.0f} s")
    before = link.counts()["delayed"]
    with field.strike(fired=0):
        link.rules(delay_ms=DELAY_MS)
        field.sleep(seconds)
        field.fired += link.counts()["delayed"] - before
        link.rules()


def stall(field: Field) -> None:
    """All connections fall silent and stay open; new ones work."""
    field.doing("connections are silent")
    with field.strike(fired=0):
        field.fired += _link(field).stall() > 0
    field.sleep(12.0)


def _link(field: Field) -> Link:
    assert field.link is not None
    return field.link
