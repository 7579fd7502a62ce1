"""Which service runs a task: the one whose code says `@implements(contract)`. Works while nothing runs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from devctl.contracts.catalog import Catalog
from devctl.stack.model import Stack

_IMPLEMENTS = re.compile(r"^\s*@(?:\w+\.)*implements\(\s*(?:\w+\.)*(\w+)\s*\)", re.MULTILINE)


def owners(catalog: Catalog, stack: Stack) -> Mapping[str, str]:
    """Queue -> service, for the queues whose owner was found."""
    queues = {contract.short: contract.queue for contract in catalog}
    found: dict[str, str] = {}
    for name, service in stack.services.items():
        if service.build is None:
            continue
        for file in sorted((service.build.context / "src").rglob("*.py")):
            try:
                code = file.read_text(encoding="utf-8", errors="replace")
            except OSError:  # the lock of an editor is a link that leads nowhere
                continue
            for contract in _IMPLEMENTS.findall(code):
                if contract in queues:
                    found.setdefault(queues[contract], name)
    return found
