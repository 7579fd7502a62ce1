"""Completion in the user's shell: a convenience, so never a warning."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from devctl.doctor.check import Check
from devctl.doctor.facts import Facts

_WHERE = {  # the places that `devctl --install-completion` writes to
    "bash": ".bash_completions/devctl.sh",
    "zsh": ".zfunc/_devctl",
    "fish": ".config/fish/completions/devctl.fish",
}


def completion(facts: Facts) -> Iterator[Check]:
    """Whether TAB completes services and tasks."""
    environment = facts.settings.environment
    shell = Path(environment.get("SHELL", "")).name
    if shell not in _WHERE:
        return
    if (Path(environment.get("HOME", "/nowhere")) / _WHERE[shell]).exists():
        yield Check("completion", "ok", f"installed for {shell}")
    else:
        yield Check("completion", "ok", f"not installed for {shell}", "devctl --install-completion")
