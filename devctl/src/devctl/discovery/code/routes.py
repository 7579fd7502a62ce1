"""The queue that a task goes to, as Celery's router decides; what only running would tell is "not sure"."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devctl.discovery.code.interpreter import Interpreter, place_text
from devctl.discovery.code.session import Call
from devctl.discovery.code.values import App, Bound, External, Function, Member, Opaque, QueueValue, Table
from devctl.discovery.model import Answer, Binding, Setting, Unreadable

_DEFAULT = "celery"


class _Unsure(Exception):
    """Why nobody can tell."""


def queue(
    interpreter: Interpreter, app: App | None, name: str, options: Mapping[str, Any], place: str, root: Path
) -> Answer[str]:
    """Where `delay()` sends a task of this name with these options of its decorator."""
    try:
        return _Router(interpreter, app, root).queue(name, options, place)
    except _Unsure as exc:
        return Answer(None, str(exc))


def declared(app: App) -> list[str]:
    """The queues that the settings name: `task_queues`, the default one."""
    settings = app.all_settings()
    found = [one for one in _queues(settings) or {} if one]
    default = settings.get("task_default_queue")
    value = _plain(default.value) if default else (_DEFAULT if not app.unreadable else None)
    if isinstance(value, str) and value not in found and not ("task_queues" in settings and default is None):
        found.append(value)
    return found


def bindings(app: App) -> list[Binding]:
    """The queues of `task_queues` whose exchange and key can be read, as Celery completes them."""
    settings = app.all_settings()
    found = settings.get("task_queues")
    if found is None or not isinstance(found.value, list | tuple) or app.unreadable:
        return []

    def default(name: str, otherwise: Any) -> Any:
        return _plain(settings[name].value) if name in settings else otherwise

    queue = default("task_default_queue", _DEFAULT)
    exchange = default("task_default_exchange", queue)
    kind = default("task_default_exchange_type", "direct")
    key = default("task_default_routing_key", queue)
    made = []
    for one in found.value:
        if isinstance(one, QueueValue):
            own = _exchange_name(one.exchange)
            values = (one.name, own or exchange, one.kind if own else kind, one.routing_key or key)
            name, *rest = map(_plain, values)
            if isinstance(name, str) and all(isinstance(value, str) for value in rest):
                made.append(Binding(name, *rest))
    return made


def _exchange_name(exchange: Any) -> Any:
    if isinstance(exchange, Opaque):
        return exchange.arguments[0] if exchange.arguments else exchange.keywords.get("name", "")
    return exchange


class _Router:
    def __init__(self, interpreter: Interpreter, app: App | None, root: Path) -> None:
        self._interpreter, self._app, self._root = interpreter, app, root
        self._settings: dict[str, Setting] = app.all_settings() if app else {}

    def queue(self, name: str, options: Mapping[str, Any], place: str) -> Answer[str]:
        for key in ("exchange", "routing_key"):
            if options.get(key) is not None:
                raise _Unsure(f"{place} sends it to an exchange or a routing key")
        self._annotations(name)
        said = options.get("queue")
        if said is not None:
            self._exchange(name)
            return Answer(self._name(said, place), place)
        if self._app is None:
            raise _Unsure("which Celery app it belongs to is not known")
        if (route := self._route(name)) is not None:
            return route
        default = self._settings.get("task_default_queue")
        if self._app.unreadable and (default is None or "task_routes" not in self._settings):
            raise _Unsure(f"settings that cannot be read: {self._app.unreadable[0]}")
        if default is None or default.value is None:
            shown = self._place_of_app()
            return Answer(self._checked(_DEFAULT, shown), f"{shown}: Celery's default")
        where = self._where(default)
        return Answer(self._name(default.value, f"{where} task_default_queue"), f"{where} task_default_queue")

    def _annotations(self, name: str) -> None:
        found = self._settings.get("task_annotations")
        if found is None or found.value is None:
            return
        maps = found.value if isinstance(found.value, list | tuple) else [found.value]
        for one in maps:
            inner = [one.get(key) for key in ("*", name)] if isinstance(one, dict) else [one]
            for options in inner:
                if options is not None and (not isinstance(options, dict) or {"queue", "exchange"} & {*options}):
                    raise _Unsure(f"task_annotations at {self._where(found)} may change it")

    def _route(self, name: str) -> Answer[str] | None:
        found = self._settings.get("task_routes")
        if found is None or found.value is None:
            return None
        where = f"{self._where(found)} task_routes"
        routers = found.value if isinstance(found.value, list | tuple) else [found.value]
        for router in routers:
            destination, line = self._ask(router, name, where)
            if destination:
                return Answer(self._destination(destination, where), line)
        return None

    def _exchange(self, name: str) -> None:
        """A queue of the decorator beats that of a route, but not the exchange that a route names."""
        found = self._settings.get("task_routes")
        routers = found.value if found and isinstance(found.value, list | tuple) else [found.value if found else None]
        for router in routers:
            if isinstance(router, dict | list | tuple):
                destination, where = self._ask(router, name, "task_routes")
                if isinstance(destination, dict) and destination.get("exchange") is not None:
                    raise _Unsure(f"{where} names an exchange")

    def _ask(self, router: Any, name: str, where: str) -> tuple[Any, str]:
        if isinstance(router, str):
            module, _, attribute = router.replace(":", ".").rpartition(".")
            holder = self._interpreter.module(module)
            router = self._interpreter.attribute(holder, attribute) if holder else Unreadable(router)
        if isinstance(router, list | tuple) and all(isinstance(one, list | tuple) and len(one) == 2 for one in router):
            try:
                router = Table(router)
            except TypeError:
                raise _Unsure(f"{where} cannot be read") from None
        if isinstance(router, dict):
            return self._map(router, name, where)
        if isinstance(router, Function | Bound):
            return self._function(router, name, where), where
        raise _Unsure(f"{where} cannot be read")

    def _map(self, routes: dict[Any, Any], name: str, where: str) -> tuple[Any, str]:
        """As `celery.app.routes.MapRoute`: the exact name first, then the patterns in their order."""
        places = getattr(routes, "places", {})

        def found(key: Any) -> tuple[Any, str]:
            place = places.get(key)
            return routes[key], f"{place_text(place, self._root)} task_routes" if place else where

        if name in routes:
            return found(name)
        for key in routes:
            if isinstance(key, re.Pattern):
                if key.match(name):
                    return found(key)
            elif isinstance(key, str):
                if "*" in key and re.match(fnmatch.translate(key), name):
                    return found(key)
            else:
                raise _Unsure(f"a pattern of {where} cannot be read")
        return None, where

    def _function(self, function: Any, name: str, where: str) -> Any:
        inner = function.function if isinstance(function, Bound) else function
        if not isinstance(inner, Function):
            raise _Unsure(f"a function decides: {where}")
        place = (inner.module.file, inner.node.lineno)
        keywords = Table({"task": Unreadable("task")})
        arguments = [name, Unreadable("args"), Unreadable("kwargs"), Unreadable("options")]
        call = Call(where, place, inner.module, False, True, arguments, keywords)
        result = self._interpreter.call(function, call)
        if isinstance(result, Unreadable | Opaque | External):
            raise _Unsure(
                f"a function decides: {getattr(inner.node, 'name', 'lambda')} of {place_text(place, self._root)}"
            )
        return result

    def _destination(self, destination: Any, where: str) -> str:
        destination = _plain(destination)
        if isinstance(destination, str | QueueValue):
            return self._name(destination, where)
        if isinstance(destination, list | tuple) and all(
            isinstance(one, tuple) and len(one) == 2 for one in destination
        ):
            destination = dict(destination)
        if not isinstance(destination, dict) or any(isinstance(key, Unreadable) for key in destination):
            raise _Unsure(f"{where} cannot be read")
        if destination.get("exchange") is not None:
            raise _Unsure(f"{where} names an exchange")
        if destination.get("queue") is None:
            if destination.get("routing_key") is not None:
                raise _Unsure(f"{where} names a routing key and no queue")
            default = self._settings.get("task_default_queue")
            if default is None and self._app and self._app.unreadable:
                raise _Unsure(f"settings that cannot be read: {self._app.unreadable[0]}")
            # A route that says nothing of a queue leaves the default one.
            return self._name(default.value, where) if default else self._checked(_DEFAULT, where)
        return self._name(destination["queue"], where)

    def _name(self, said: Any, where: str) -> str:
        said = _plain(said)
        if isinstance(said, QueueValue):
            if said.kind != "direct":
                raise _Unsure(f"{where}: its exchange is not a direct one")
            said = _plain(said.name)
        if not isinstance(said, str) or not said:
            text = said.text if isinstance(said, Unreadable) else str(said)
            raise _Unsure(f"{where} is {text}, which only running tells")
        return self._checked(said, where)

    def _checked(self, name: str, where: str) -> str:
        known = _queues(self._settings)
        if known is None:
            return name  # what cannot be read of the queues' list does not change a name
        missing = self._settings.get("task_create_missing_queues")
        if missing is not None and missing.value is not True and name not in (known or {self._default(): ""}):
            raise _Unsure(f"{where} names {name!r}, which is not in task_queues: Celery refuses it")
        kind = known.get(name, "direct")
        if kind != "direct":
            raise _Unsure(f"the exchange of {name!r} is not a direct one: its bindings decide")
        return name

    def _default(self) -> Any:
        found = self._settings.get("task_default_queue")
        return _plain(found.value) if found else _DEFAULT

    def _where(self, setting: Setting) -> str:
        return place_text((Path(setting.file), setting.line), self._root)

    def _place_of_app(self) -> str:
        return place_text((self._app.file, self._app.line), self._root) if self._app else ""


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Member) else value


def _queues(settings: Mapping[str, Setting]) -> dict[str, Any] | None:
    """Queue -> type of its exchange; None where the list cannot be read."""
    found = settings.get("task_queues")
    if found is None or not found.value:
        return {}
    value = found.value
    if isinstance(value, dict):
        return {
            str(name): one.get("exchange_type", "direct") if isinstance(one, dict) else "direct"
            for name, one in value.items()
        }
    if not isinstance(value, list | tuple) or not all(isinstance(one, QueueValue) for one in value):
        return None
    general = settings.get("task_default_exchange_type")
    named = {}
    for one in value:
        name = _plain(one.name)
        if not isinstance(name, str):
            return None
        kind = one.kind if one.exchange is not None or general is None else general.value
        named[name] = kind
    return named
