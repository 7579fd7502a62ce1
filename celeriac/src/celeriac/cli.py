"""The command `celeriac`: Celery's own commands for an app without the line `celeriac.install(app)`, and what is to be
known before that line is deleted."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from celery.exceptions import ImproperlyConfigured
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from celeriac.app.client import make_app
from celeriac.app.installation import install
from celeriac.app.settings import CelerySettings
from celeriac.broker.client import client_of, connect
from celeriac.broker.lists import NAMES, named_by
from celeriac.dead_letter import letters
from celeriac.dead_letter.replay import Unreadable, replay
from celeriac.environment import load
from celeriac.errors import SettingsError
from celeriac.lease.restore import restore
from celeriac.leftovers import Leftovers, as_dict, look
from celeriac.redaction import redact

DONE, LEFT, AWAY, USAGE = 0, 1, 2, 2
USAGE_TEXT = """\
usage: celeriac COMMAND -A APP …

  worker -A APP …          Celery's worker on celeriac, with all options of `celery worker`
  check -A APP             what must be empty before celeriac is taken out; exit 0: it can be, 1: not yet, 2: no Redis
  dead-letters -A APP      list what nobody could run; --replay or --drop all of them, or those named
  exporter [--port 9808]   queues and Redis for Prometheus: one for each broker; needs celeriac[metrics]
  beat, inspect, purge, …  any other command of Celery's, for this app

Instead of an app, check, dead-letters and exporter take --broker URL; exporter also CELERY_BROKER_URL.
"""
# Celery's own options that stand before its command, and whether a value follows.
GLOBAL = {
    **dict.fromkeys(("-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--config", "--workdir"), True),
    "--skip-checks": False,
}
NO_APP = "celeriac: which app? Name it as for Celery: celeriac {command} -A proj (or proj.module:app)"
MULTI = (
    "celeriac: `celery multi` starts Celery's own command. Put the line celeriac.install(app) into the app, and call "
    "celery -A proj multi …"
)


def main(arguments: Sequence[str]) -> int:
    """The exit code. Expected failures are one line on stderr."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE_TEXT, end="")  # noqa: T201  a command
        return DONE if arguments else USAGE
    before, command, rest = ordered(arguments)
    try:
        if command == "check":
            return check([*before, *rest])
        if command == "dead-letters":
            return dead_letters([*before, *rest])
        if command == "exporter":
            return exporter([*before, *rest])
        return celery(before, command, rest)
    except SettingsError as exc:
        return said(f"celeriac: {exc}", LEFT)
    except ImproperlyConfigured as exc:
        return said(redact(str(exc)), LEFT)
    except (RedisError, OSError) as exc:
        why = redact(str(exc)).rstrip(".")
        return said(f"celeriac: Redis does not answer: {why}. Is broker_url right, and does it run?", AWAY)


def said(text: str, code: int) -> int:
    print(text, file=sys.stderr)  # noqa: T201  a command
    return code


def ordered(arguments: Sequence[str]) -> tuple[list[str], str, list[str]]:
    """Celery's options for all commands, the command, and the rest. Celery wants them in this order; here they may also
    follow the command."""
    before: list[str] = []
    command, rest = "", []
    given = iter(arguments)
    for one in given:
        name, equals, _ = one.partition("=")
        if one == "--":
            rest += [one, *given]
        elif name in GLOBAL:
            before.append(one)
            if GLOBAL[name] and not equals:
                before += _next(given)
        elif (one[:2] in ("-A", "-b") and len(one) > 2) or (not command and one.startswith("-")):
            before.append(one)
        elif not command:
            command = one
        else:
            rest.append(one)
    return before, command, rest


def _next(given: Iterator[str]) -> list[str]:
    return [value for value in [next(given, None)] if value is not None]


# Celery's commands


def celery(before: list[str], command: str, rest: list[str]) -> int:
    """Hand over to Celery's own command, with the app installed."""
    if command == "multi":
        return said(MULTI, USAGE)
    asks = {"--help", "--version"} & {*before, *rest}
    if not asks and "CELERY_APP" not in os.environ and not any(one[:2] == "-A" or one[:5] == "--app" for one in before):
        return said(NO_APP.format(command=command or "worker"), USAGE)
    _install_what_is_found()
    everything = [*before, *([command] if command else []), *rest]
    sys.argv[1:] = everything  # Celery starts itself again from there: SIGHUP, --detach
    run: Callable[..., Any] = import_module("celery.bin.celery").celery
    run(args=everything, prog_name="celeriac", auto_envvar_prefix="CELERY")
    return DONE


def _install_what_is_found() -> None:
    """In this process, Celery's command installs the app that it finds, and starts itself again as `celeriac`."""
    group: Any = import_module("celery.bin.celery")
    worker: Any = import_module("celery.bin.worker")
    find, detach = group.find_app, worker.detach
    group.find_app = lambda *args, **options: install(find(*args, **options))
    # It is given ["-m", "celery", …].
    worker.detach = lambda path, argv, **options: detach(path, ["-m", "celeriac", *argv[2:]], **options)


# Our own


def check(arguments: list[str]) -> int:
    """What must be empty before celeriac is taken out."""
    parser = argparse.ArgumentParser(prog="celeriac check", description=check.__doc__)
    _names_a_broker(parser)
    parser.add_argument("--give-back", action="store_true", help="first give back what dead workers had claimed")
    parser.add_argument("--json", action="store_true", help="for programs")
    asked = parser.parse_args(arguments)
    client, queues, named = _broker(asked, parser)
    if asked.give_back:
        restore(client, NAMES.separator, NAMES.steps)
    found = look(client, queues)
    if asked.json:
        print(json.dumps(as_dict(found)))  # noqa: T201  a command
    else:
        print("\n".join(_report(found, named)))  # noqa: T201  a command
    return DONE if found.empty else LEFT


def _report(found: Leftovers, named: str) -> Iterator[str]:
    wide = max([5, *map(len, found.queues)])
    yield f"{'queue':<{wide}} {'waiting':>8} {'due later':>10} {'claimed':>8} {'dead':>6}"
    for queue in [*found.queues, *(["?"] if "?" in found.claimed else [])]:
        counts = (one.get(queue, 0) for one in (found.waiting, found.due, found.claimed, found.dead))
        yield "{:<{wide}} {:>8} {:>10} {:>8} {:>6}".format(queue, *counts, wide=wide)
    yield ""
    if found.empty:
        yield "Nothing is left that only celeriac knows: the line celeriac.install(app) can be deleted. What waits is"
        yield "Celery's, and stock workers run it."
    else:
        yield "Not yet: stock Celery does not know these."
        yield from _next_steps(found, named)
    if found.harmless:
        yield f"{found.harmless} other keys of celeriac are harmless and expire by themselves (celery-once-*, …)."


def _next_steps(found: Leftovers, named: str) -> Iterator[str]:
    if any(found.due.values()):
        seconds = found.due_in_seconds or 0
        yield f"- {sum(found.due.values())} due later, the last one in {seconds:.0f} s: let workers run until"
        yield f"  then:  celeriac worker {named}"
    if any(found.claimed.values()):
        yield f"- {sum(found.claimed.values())} claimed: stop the workers of celeriac with SIGTERM, then look again."
        if found.over:
            yield f"  {found.over} of them are of workers that died:  celeriac check {named} --give-back"
    if any(found.dead.values()):
        yield f"- {sum(found.dead.values())} dead letters:  celeriac dead-letters {named}  lists them; --replay, --drop"
    if found.came_back:
        yield f"- {found.came_back} came back from workers that died, and their starts are counted: let workers of"
        yield f"  celeriac end them:  celeriac worker {named}  (if nothing waits:  redis-cli DEL celery-starts)"


def dead_letters(arguments: list[str]) -> int:
    """List dead letters, put them back into their queues, or delete them."""
    parser = argparse.ArgumentParser(prog="celeriac dead-letters", description=dead_letters.__doc__)
    _names_a_broker(parser)
    parser.add_argument("ids", nargs="*", metavar="ID", help="only these; without any, all")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--replay", action="store_true", help="put them back, as if they had never run")
    what.add_argument("--drop", action="store_true", help="delete them for ever")
    asked = parser.parse_args(arguments)
    client, _, _ = _broker(asked, parser)
    try:
        ids = asked.ids or [one.id for one in letters.read(client)]
        if asked.drop:
            print(f"{letters.drop(client, ids)} dropped")  # noqa: T201  a command
            return DONE
        found = [letter for one in ids if (letter := letters.find(client, one)) is not None]
    except ValueError as exc:
        return said(f"celeriac: {exc}", USAGE)
    left = [letter for letter in found if not (asked.replay and _replayed(client, letter))]
    for letter in left:
        error = redact((letter.error or "")[:200])
        print(f"{letter.id}  {letter.task or '?'}  {letter.reason}: {error}")  # noqa: T201  a command
    if asked.replay:
        print(f"{len(found) - len(left)} replayed, {len(left)} stay")  # noqa: T201  a command
    return LEFT if left and asked.replay else DONE


def _replayed(client: Any, letter: Any) -> bool:
    try:
        replay(client, letter)
    except Unreadable:
        return False
    return True


def exporter(arguments: list[str]) -> int:
    """Answer Prometheus for the queues and Redis, until a SIGTERM: /metrics and /health."""
    parser = argparse.ArgumentParser(prog="celeriac exporter", description=exporter.__doc__)
    _names_a_broker(parser)
    parser.add_argument("--host", help="where to listen (HTTP_HOST, else 127.0.0.1)")
    parser.add_argument("--port", type=int, help="the port (HTTP_PORT, else 9808)")
    asked = parser.parse_args(arguments)
    if find_spec("prometheus_client") is None:
        return said("celeriac: the exporter needs prometheus-client: pip install 'celeriac[metrics]'", LEFT)
    serve = import_module("celeriac.exporter.program").serve
    if asked.app:
        if asked.workdir:
            os.chdir(asked.workdir)
        app = install(_found(asked.app))
        named_by(app.conf.broker_transport_options)
        return int(serve(app, list(app.amqp.queues), asked.host, asked.port))
    given = {"broker_url": asked.broker, "result_backend": None} if asked.broker else {}
    try:
        settings = CelerySettings(**given) if given else load(CelerySettings)
    except ValueError as exc:
        raise ImproperlyConfigured("celeriac: --broker is no URL of a Redis: redis://HOST:6379/0") from exc
    return int(serve(make_app("exporter", settings), [], asked.host, asked.port))


def _names_a_broker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-A", "--app", default=os.environ.get("CELERY_APP"), help="as for Celery: proj, proj.module:app"
    )
    parser.add_argument("-b", "--broker", metavar="URL", help="the broker, in place of the app's")
    parser.add_argument("--workdir", help="go there first")


def _broker(asked: Any, parser: argparse.ArgumentParser) -> tuple[Any, list[str], str]:
    """A client, the queues that the app consumes, and how the user has named the broker."""
    if asked.workdir:
        os.chdir(asked.workdir)
    if not (asked.app or asked.broker):
        parser.error("name the app with -A, or the broker with --broker")
    patience = {"socket_timeout": 5, "socket_connect_timeout": 5}
    queues: list[str] = []
    told = f"-A {asked.app}" if asked.app else "--broker URL"
    app = install(_found(asked.app)) if asked.app else None
    if app is not None:
        queues = list(app.amqp.queues)
        named_by(app.conf.broker_transport_options)
    try:
        if asked.broker or app is None:
            options = {} if app is None else app.conf.broker_transport_options
            return connect(asked.broker, options, **patience), queues, told
        _ = app.conf.broker_transport  # a broker that is not Redis is refused by name
        return client_of(app, **patience), queues, told
    except OperationalError as exc:
        raise ConnectionError(str(exc)) from exc
    except (ValueError, KeyError) as exc:
        raise ImproperlyConfigured(f"celeriac: this broker cannot be used: {exc}") from exc


def _found(name: str) -> Any:
    from celery.app.utils import find_app

    try:
        return find_app(name)
    except Exception as exc:  # of the app's own modules, too
        why = f"{type(exc).__name__}: {exc}"
        raise ImproperlyConfigured(f"celeriac: no app {name!r} here: {why}. Name it as for Celery, -A proj") from exc
