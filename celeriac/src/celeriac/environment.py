"""Settings from the environment, or one line for each variable that is wrong."""

import logging
import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

import pydantic
from pydantic_settings import BaseSettings

from celeriac.errors import SettingsError

S = TypeVar("S", bound=BaseSettings)

logger = logging.getLogger("settings")  # the logger of celeriac is silent until a service configures its logs

ALIKE = 0.8  # LEASE_SECOND and LEASE_SECONDS are 0.96; TRANSPORT and PORT, of a Kubernetes Service "celery", 0.62
# Celery reads these itself and prefers them to all settings: a worker would take from a Redis to which no client
# publishes.
PARTING = {"CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"}

_warned: set[str] = set()


def load(kind: type[S]) -> S:
    """Read settings of this kind. Raises SettingsError, which shows no value: an URL may hold a password. A variable
    that looks misspelt is one warning in the log; other variables belong to somebody else."""
    prefix = kind.model_config["env_prefix"].upper()
    known = {prefix + name.upper() for name in kind.model_fields}
    warn_of_typos(prefix, known, os.environ)
    problems = [
        f"{name} would part worker and client; set CELERY_BROKER_URL alone"
        for name in sorted(PARTING.intersection(os.environ) if prefix == "CELERY_" else ())
    ]
    try:
        settings = kind()
        problems += getattr(settings, "wrong_here", list)()
    except pydantic.ValidationError as exc:
        for one in exc.errors(include_url=False, include_input=False, include_context=False):
            said = one["msg"].removeprefix("Value error, ")
            if name := "_".join(str(part) for part in one["loc"]).upper():
                said = f"{prefix}{name} is wrong: {said} (its value is not shown)"
            problems.append(said)
    if problems:
        raise SettingsError("; ".join(problems))
    return settings


def warn_of_typos(prefix: str, known: Iterable[str], environ: Mapping[str, str]) -> None:
    """Warn once for each variable in a process."""
    for name, meant in typos(prefix, known, environ).items():
        if name not in _warned:
            _warned.add(name)
            logger.warning("%s is no setting and is not used; did you mean %s?", name, meant)


def typos(prefix: str, known: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Variable -> the setting that is probably meant. Only similar names count: Kubernetes sets variables for each
    Service, so a name that merely begins like a setting is usually no mistake."""
    rests = {name.removeprefix(prefix): name for name in known}
    found = {}
    for name in sorted(names):
        rest = name.upper().removeprefix(prefix)
        if name.upper().startswith(prefix) and rest not in rests:
            for alike in get_close_matches(rest, rests, n=1, cutoff=ALIKE):
                found[name] = rests[alike]
    return found
