"""Dead letters: work that somebody published, and that nobody will do unless somebody looks."""

from __future__ import annotations

from collections.abc import Iterator

from devctl.doctor.check import Check
from devctl.doctor.facts import Facts
from devctl.errors import DevctlError


def dead_letters(facts: Facts) -> Iterator[Check]:
    """There are none, and certainly not so many that a queue stands still."""
    if not facts.started or not facts.stack.contracts:
        return
    try:
        depths = facts.depths([one.queue for one in facts.contracts])
    except DevctlError:  # that the broker does not answer is a check of its own
        return
    buried = [one for one in depths if one.dead]
    for one in buried:
        what = f"{one.dead:,} of '{one.name}'"
        fix = f"devctl dead-letters list --queue {one.name}"
        if one.stopped:
            yield Check("dead letters", "problem", f"{what}: that is the limit, workers no longer claim from it", fix)
        else:
            yield Check("dead letters", "warning", what, fix)
    if not buried:
        yield Check("dead letters", "ok", "none")
