"""The caches of Django that are in a Redis, by its settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from devctl.discovery.code.interpreter import Interpreter
from devctl.discovery.code.values import Place

_OF_REDIS = re.compile(r"redis|valkey", re.IGNORECASE)


def caches(interpreter: Interpreter) -> Iterator[tuple[str, str, Place]]:
    """Name, URL with its database, and where `CACHES` says it; what cannot be read is left out."""
    settings = interpreter.django_settings()
    said: Any = settings.scope.names.get("CACHES") if settings else None
    if settings is None or not isinstance(said, dict):
        return
    place = settings.scope.places.get("CACHES", (settings.file, 1))
    places = getattr(said, "places", {})
    for name, one in said.items():
        if not isinstance(name, str) or not isinstance(one, dict) or not _OF_REDIS.search(str(one.get("BACKEND"))):
            continue
        given = one.get("LOCATION")
        options = one.get("OPTIONS")
        database = options.get("db") if isinstance(options, dict) else None
        for url in given if isinstance(given, list | tuple) else [given]:
            if isinstance(url, str) and "://" in url:
                yield name, _with(url, database), places.get(name, place)


def _with(url: str, database: Any) -> str:
    """The database of the options is over that of the URL."""
    if not isinstance(database, int | str) or not str(database).isdigit():
        return url
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/{database}"
