"""What the containers use, read from `docker stats`."""

from __future__ import annotations

import json
import re

from devctl.stack.port import Usage

_UNITS = {
    "": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40,
}  # fmt: skip


def parse(output: str) -> dict[str, Usage]:
    """Container name -> usage; a container that went away meanwhile (`--`) is left out."""
    found = {}
    for line in output.splitlines():
        one = json.loads(line)
        cpu, memory = one["CPUPerc"].rstrip("%"), one["MemUsage"].partition("/")[0].strip()
        if re.fullmatch(r"[\d.]+", cpu) and (amount := _bytes(memory)) is not None:
            found[one["Name"]] = Usage(float(cpu), amount)
    return found


def _bytes(text: str) -> int | None:
    match = re.fullmatch(r"([\d.]+)\s*([kmgt]?i?)b", text.lower())
    return int(float(match[1]) * _UNITS[match[2]]) if match else None
