"""The settings of this service, from the environment alone."""

import os
from dataclasses import dataclass

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from celeriac import environment
from celeriac.app.settings import CelerySettings, LogSettings, WorkerSettings
from celeriac.retry import policy as retries
from celeriac.retry.policy import RetryPolicy
from common_tasks.tasks import CONTRACTS


class HttpSettings(BaseSettings):
    """Where its endpoints listen: HTTP_HOST and HTTP_PORT."""

    model_config = SettingsConfigDict(env_prefix="HTTP_", env_ignore_empty=True, frozen=True)

    host: str = "127.0.0.1"
    port: int = Field(default=8002, ge=1, le=65_535)


@dataclass(frozen=True)
class Config:
    celery: CelerySettings
    worker: WorkerSettings
    log: LogSettings
    http: HttpSettings
    retries: dict[str, RetryPolicy]


def load() -> Config:
    """Raises SettingsError, one line, for variables that are wrong."""
    return Config(
        celery=environment.load(CelerySettings),
        worker=environment.load(WorkerSettings),
        log=environment.load(LogSettings),
        http=environment.load(HttpSettings),
        retries=retries.from_environment(CONTRACTS, os.environ),
    )
