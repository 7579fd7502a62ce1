"""Settings from the environment, or one line for each variable that is wrong."""

import os
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import TypeVar

import pydantic
from pydantic_settings import BaseSettings

from common_tasks.errors import SettingsError

S = TypeVar("S", bound=BaseSettings)

CELERY = "CELERY_"
# Celery itself reads these, or sets them in its own process.
OF_CELERY = {"CELERY_TRACE_APP", "CELERY_LOG_LEVEL", "CELERY_LOG_FILE", "CELERY_BENCH", "CELERY_BENCH_EVERY"}


def load(kind: type[S]) -> S:
    """The settings of this kind. Values are never shown: an URL holds a password."""
    prefix = kind.model_config["env_prefix"].upper()
    known = {prefix + name.upper() for name in kind.model_fields}
    problems = list(_misspelt(known, os.environ)) if prefix == CELERY else []
    try:
        settings = kind()
    except pydantic.ValidationError as exc:
        for one in exc.errors(include_url=False, include_input=False, include_context=False):
            name = "_".join(str(part) for part in one["loc"]).upper()
            said = one["msg"].removeprefix("Value error, ")
            problems.append(f"{prefix}{name} is wrong: {said} (its value is not shown)")
    if problems:
        raise SettingsError("; ".join(problems))
    return settings


def _misspelt(known: set[str], environ: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(environ):
        if name.upper().startswith(CELERY) and name not in known | OF_CELERY:
            close = get_close_matches(name.upper(), known, n=1, cutoff=0.0)
            yield f"{name} is not a setting of this stack; did you mean {close[0]}? (all: {', '.join(sorted(known))})"
