"""Who writes records."""

import os
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

from celeriac.broker.options import Options

if TYPE_CHECKING:
    from celery import Celery


class Scribe(NamedTuple):
    """Who writes records, and how many entries the stream keeps. 0: nothing is written."""

    who: str = ""
    length: int = 0


SILENT = Scribe()


def scribe_of(app: "Celery") -> Scribe:
    """Of a process that publishes with this app."""
    try:
        known: Scribe = app.scribe  # type: ignore[attr-defined]  # ours
    except AttributeError:
        conf: Any = app.conf
        known = Scribe(name_of(app), Options.of(conf.broker_transport_options).life_length)
        app.scribe = known  # type: ignore[attr-defined]  # ours
    return known


def name_of(app: "Celery") -> str:
    """Its service; of an app without a name, its process, as Celery's messages call it."""
    main = str(app.main or "")
    return main if main not in ("", "__main__", "celery") else f"gen{os.getpid()}@{socket.gethostname()}"
