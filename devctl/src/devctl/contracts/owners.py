"""Which service runs a task: the one whose code says `@implements(contract)`. Works while nothing runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from devctl.stack.model import Stack

if TYPE_CHECKING:
    from devctl.contracts.catalog import Catalog

_IMPLEMENTS = re.compile(r"^\s*@(?:\w+\.)*implements\(\s*(?:\w+\.)*(\w+)\s*\)", re.MULTILINE)


def owners(catalog: Catalog, stack: Stack) -> Mapping[str, str]:
    """Queue -> service, for the queues whose owner was found."""
    queues = {contract.short: contract.queue for contract in catalog}
    found: dict[str, str] = {}
    for service, contract in _implemented(stack):
        if contract in queues:
            found.setdefault(queues[contract], service)
    return found


def consumers(stack: Stack) -> set[str]:
    """The services that run some task: found without importing a contract, which takes half a second."""
    return {service for service, _ in _implemented(stack)}


def _implemented(stack: Stack) -> Iterator[tuple[str, str]]:
    """Yield service and contract for each `@implements` in the code of the services."""
    for name, service in stack.services.items():
        if service.build is None:
            continue
        for file in sorted((service.build.context / "src").rglob("*.py")):
            try:
                code = file.read_text(encoding="utf-8", errors="replace")
            except OSError:  # the lock of an editor is a link that leads nowhere
                continue
            yield from ((name, contract) for contract in _IMPLEMENTS.findall(code))
