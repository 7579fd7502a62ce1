"""Settings from the environment, or one line for each variable that is wrong."""

import os
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import pydantic

from celeriac.errors import SettingsError
from celeriac.typos import warn_of_typos

# Celery reads these itself and prefers them to all settings: a worker would take from a Redis to which no client
# publishes.
PARTING = {"CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"}


class Settings(pydantic.BaseModel):
    """What is not given as an argument is read from the environment: `prefix` and the name of the field, in any case.
    An empty variable counts as none."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")
    prefix: ClassVar[str]

    def __init__(self, _environ: Mapping[str, str] | None = None, **given: Any) -> None:
        environ = os.environ if _environ is None else _environ
        said = {name.upper(): value for name, value in environ.items() if value}
        known = {field: self.prefix + field.upper() for field in type(self).model_fields}
        super().__init__(**{field: said[name] for field, name in known.items() if name in said} | given)


S = TypeVar("S", bound=Settings)


def load(kind: type[S]) -> S:
    """Read settings of this kind. Raises SettingsError, which shows no value: an URL may hold a password. A variable
    that looks misspelt is one warning in the log; other variables belong to somebody else."""
    warn_of_typos(kind.prefix, variables(kind), os.environ)
    settings, problems = _read(kind, os.environ, here=True)
    if settings is None or problems:
        raise SettingsError("; ".join(problems))
    return settings


def problems(kind: type[Settings], environ: Mapping[str, str], *, here: bool) -> list[str]:
    """What `load` would say of these variables; `here`: also of what is wrong only on this machine."""
    return _read(kind, environ, here=here)[1]


def variables(kind: type[Settings]) -> set[str]:
    """All variables that settings of this kind read."""
    return {kind.prefix + name.upper() for name in kind.model_fields}


def _read(kind: type[S], environ: Mapping[str, str], *, here: bool) -> tuple[S | None, list[str]]:
    problems = [
        f"{name} would part worker and client; set CELERY_BROKER_URL alone"
        for name in sorted(PARTING.intersection(environ) if kind.prefix == "CELERY_" else ())
    ]
    try:
        settings = kind(environ)
        return settings, [*problems, *(getattr(settings, "wrong_here", list)() if here else ())]
    except pydantic.ValidationError as exc:
        for one in exc.errors(include_url=False, include_input=False, include_context=False):
            said = one["msg"].removeprefix("Value error, ")
            if name := "_".join(str(part) for part in one["loc"]).upper():
                said = f"{kind.prefix}{name} is wrong: {said} (its value is not shown)"
            problems.append(said)
        return None, problems
