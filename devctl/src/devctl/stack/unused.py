"""Variables that were set for the stack and reach no service: mostly they are misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from celeriac.typos import typos
from devctl import dotenv
from devctl.interpolation import variables
from devctl.settings import Settings
from devctl.stack import file

_CELERY = "CELERY_"
_OF_TOOLS = ("COMPOSE_", "DOCKER_", "BUILDKIT_", "BUILDX_", "DEVCTL_")  # read by the tools themselves
_ALIKE = 0.8  # CELERY_BROKR_URL and CELERY_BROKER_URL are 0.97, WEB1_PORT and WEB2_PORT 0.89


@dataclass(frozen=True)
class Unused:
    """A variable that the Compose file does not use."""

    name: str
    where: str
    """`.env`, or the environment."""
    meant: str = ""
    """The one that is probably meant; "" for one of Celery that is only not passed on."""


def find(settings: Settings) -> list[Unused]:
    """Look at .env and the environment; variables that are for somebody else are left out."""
    outline = file.outline(settings)
    used = {name for document in outline.documents for name in _used(document.data)}
    given: dict[str, str] = {}
    for one in settings.env_files:
        if one not in outline.passed:
            given |= dotenv.read(one, settings.environment, dotenv.skip)
    own = {name for name in settings.environment if name.startswith(_CELERY)} - set(given)
    lost = [(name, ".env") for name in given if name not in used and not name.startswith(_OF_TOOLS)]
    lost += [(name, "the environment") for name in sorted(own - used)]
    found = (Unused(name, where, _meant(name, used)) for name, where in lost)
    return [one for one in found if one.meant or (one.name.startswith(_CELERY) and one.where == ".env")]


def _meant(name: str, used: Iterable[str]) -> str:
    if name.startswith(_CELERY):
        return typos(_CELERY, [one for one in used if one.startswith(_CELERY)], [name]).get(name, "")
    return next(iter(difflib.get_close_matches(name, used, n=1, cutoff=_ALIKE)), "")


def _used(value: Any) -> Iterator[str]:
    """Every variable in the Compose file."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _used(item)
    elif isinstance(value, list):
        for item in value:
            yield from _used(item)
    elif isinstance(value, str):
        yield from variables(value)
