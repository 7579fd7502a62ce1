"""What operators, built-in functions and the few libraries do that settings of Celery are made with."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from devctl.discovery.code import configuration
from devctl.discovery.code.operators import UNKNOWN, items, to_bool
from devctl.discovery.code.session import Call, Session, class_attribute, opaque
from devctl.discovery.code.values import (
    App,
    Attribute,
    Bound,
    Class,
    External,
    Function,
    Instance,
    Member,
    Module,
    Opaque,
    Place,
    QueueValue,
    Table,
    readable,
)
from devctl.discovery.model import Unreadable

BUILTINS = {
    "str", "int", "float", "bool", "list", "dict", "tuple", "set", "frozenset", "len", "getattr", "hasattr", "sorted",
    "range", "callable", "object", "Exception",
}  # fmt: skip
_TEXT_METHODS = {
    "split", "rsplit", "strip", "lstrip", "rstrip", "lower", "upper", "replace", "startswith", "endswith", "join",
    "format", "partition", "rpartition", "removeprefix", "removesuffix", "title", "capitalize", "isdigit", "casefold",
}  # fmt: skip


# ---- attributes and items


def attribute(interpreter: Session, value: Any, name: str) -> Any:
    """`value.name`."""
    if isinstance(value, External):
        return _external_attribute(interpreter, value, name)
    if isinstance(value, App | Attribute):
        return _app_attribute(value, name)
    if isinstance(value, Instance):
        return _instance_attribute(interpreter, value, name)
    if isinstance(value, Class):
        found = class_attribute(value, name)
        return Bound(found, (value,)) if isinstance(found, Function) and found.kind == "classmethod" else found
    if isinstance(value, Member):
        return {"value": value.value, "name": value.name}.get(name, Bound(value, (name,)))
    if isinstance(value, Opaque):
        return value.attributes.get(name, Bound(value, (name,)))
    if isinstance(value, str | list | dict | set):
        return Bound(value, (name,))
    return getattr(value, name) if isinstance(value, QueueValue) and name in ("name", "routing_key") else UNKNOWN


def _external_attribute(interpreter: Session, value: External, name: str) -> Any:
    full = f"{value.name}.{name}"
    if full == "celery.current_app":
        return interpreter.current_app()
    if full.startswith("django.conf.settings."):
        module = interpreter.django_settings()
        return module.scope.names.get(name, UNKNOWN) if module else UNKNOWN
    return UNKNOWN if full == "sys.path" else External(full)


def _app_attribute(value: App | Attribute, name: str) -> Any:
    if isinstance(value, App):
        if name in value.attributes:
            return value.attributes[name]
        return value.main if name == "main" else Attribute(value, name)
    if value.name == "conf" and name not in {"update", "setdefault", "get", "add_defaults"}:
        found = value.app.all_settings().get(name)
        return found.value if found else Attribute(value.app, f"conf.{name}")
    return Attribute(value.app, f"{value.name}.{name}")


def _instance_attribute(interpreter: Session, value: Instance, name: str) -> Any:
    if name in value.attributes:
        return value.attributes[name]
    found = class_attribute(value.cls, name)
    if isinstance(found, Function):
        if found.kind == "property":
            call = Call(name, (found.module.file, found.node.lineno), found.module, False, True, [value], Table())
            return interpreter.call(replace_kind(found), call)
        return found if found.kind == "staticmethod" else Bound(found, (value,))
    if value.cls.is_a("BaseSettings"):
        return configuration.field(interpreter, value.cls, name, found)
    if isinstance(found, Opaque) and found.kind.rpartition(".")[2] in {"Field", "field"}:
        return configuration.default_of(interpreter, found)
    return found


def replace_kind(function: Function) -> Function:
    """A property's function, to be called."""
    return Function(function.node, function.module, function.outer, function.owner)


def item(interpreter: Session, holder: Any, key: Any) -> Any:
    """`holder[key]`."""
    if isinstance(holder, External) and holder.name == "os.environ":
        return interpreter.environment.get(key, UNKNOWN) if isinstance(key, str) else UNKNOWN
    if isinstance(holder, Attribute) and holder.name == "conf" and isinstance(key, str):
        return attribute(interpreter, holder, key)
    if isinstance(holder, External | Class):  # a type: list[str], Generic[T]
        if isinstance(holder, Class) and holder.is_a("Enum", "StrEnum", "IntEnum") and isinstance(key, str):
            return class_attribute(holder, key)
        return holder
    key = key.value if isinstance(key, Member) else key
    if isinstance(holder, str | list | tuple | dict) and not isinstance(key, Unreadable | Opaque | External):
        try:
            return holder[key]
        except (KeyError, IndexError, TypeError):
            return UNKNOWN
    return UNKNOWN


def set_attribute(interpreter: Session, holder: Any, name: str, value: Any, place: Place) -> None:
    """`holder.name = value`."""
    if isinstance(holder, Attribute) and holder.name == "conf":
        configuration.put(interpreter, holder.app, name, value, place)
    elif isinstance(holder, App):
        holder.attributes[name] = value
        if name == "Task":
            holder.attributes["Task"] = value
    elif isinstance(holder, Instance | Opaque):
        holder.attributes[name] = value
    elif isinstance(holder, Class):
        holder.scope.names[name] = value
    elif isinstance(holder, Module):
        holder.scope.names[name] = value
        holder.scope.places[name] = place


def set_item(interpreter: Session, holder: Any, key: Any, value: Any, place: Place) -> None:
    """`holder[key] = value`."""
    if isinstance(holder, External) and holder.name == "os.environ":
        if isinstance(key, str) and isinstance(value, str):
            interpreter.environment[key] = value
    elif isinstance(holder, Attribute) and holder.name == "conf" and isinstance(key, str):
        configuration.put(interpreter, holder.app, key, value, place)
    elif isinstance(holder, dict) and not isinstance(key, Unreadable | Opaque):
        try:
            holder[key] = value
        except TypeError:
            return
        if isinstance(holder, Table):
            holder.places[key] = place


# ---- calls


def call(interpreter: Session, function: Any, call: Call) -> Any:
    """What a call of something that is not of this repository returns."""
    if isinstance(function, External):
        return _external(interpreter, function.name, call)
    if isinstance(function, Attribute):
        return configuration.method(interpreter, function.app, function.name, call)
    if isinstance(function, Bound):
        if isinstance(function.function, External):
            return _external(
                interpreter, function.function.name, call.given(function.arguments, dict(function.keywords))
            )
        if isinstance(function.function, Attribute):
            more = call.given(function.arguments, dict(function.keywords))
            return configuration.method(interpreter, function.function.app, function.function.name, more)
        return _method(interpreter, function.function, str(function.arguments[0]), call)
    if isinstance(function, Opaque) and configuration.is_reader(function):
        return configuration.call_reader(interpreter, function, call)
    return UNKNOWN


def _method(interpreter: Session, value: Any, name: str, call: Call) -> Any:
    if isinstance(value, Member):
        value = value.value
    if isinstance(value, Opaque):
        if configuration.is_reader(value):
            return configuration.read_variable(interpreter, value, name, call)
        factory = value.keywords.get("create_celery_app")
        if name == "init_app" and factory is not None:  # Flask-CeleryExt
            value.attributes["celery"] = interpreter.call(factory, call)
        return opaque(call, f"{value.kind}.{name}")
    if isinstance(value, str):
        return _text_method(value, name, call)
    if isinstance(value, dict):
        return _table_method(interpreter, value, name, call)
    return _list_method(value, name, call) if isinstance(value, list) else UNKNOWN


def _list_method(value: list[Any], name: str, call: Call) -> Any:
    if name == "copy":
        return list(value)
    if name not in {"append", "extend", "insert", "remove"} or not call.arguments:
        return UNKNOWN
    if call.doubt:
        value.append(Unreadable(call.text))
    elif name == "append":
        value.append(call.arguments[0])
    elif name == "extend":
        value.extend(items(call.arguments[0]) or [Unreadable(call.text)])
    elif name == "insert":
        at = call.arguments[0]
        value.insert(at if isinstance(at, int) else 0, call.arguments[-1])
    elif readable(call.arguments[0]) and call.arguments[0] in value:
        value.remove(call.arguments[0])
    return None


def _text_method(value: str, name: str, call: Call) -> Any:
    if name not in _TEXT_METHODS:
        return UNKNOWN
    arguments = list(call.arguments)
    if name == "join" and arguments:
        arguments = [items(arguments[0])]
    if not readable(arguments) or not readable(dict(call.keywords)) or not call.whole:
        return UNKNOWN
    try:
        return getattr(value, name)(*arguments, **call.keywords)
    except (TypeError, ValueError, LookupError, AttributeError):
        return UNKNOWN


def _table_method(interpreter: Session, value: dict[Any, Any], name: str, call: Call) -> Any:
    if name in {"get", "pop", "setdefault"}:
        return _table_item(interpreter, value, name, call)
    if name in {"update", "from_mapping"}:
        _table_update(interpreter, value, call)
        return None
    if name == "from_object":
        for one, inner, place in configuration.members(interpreter, call.get(0, "obj")):
            set_item(interpreter, value, one, inner, place)
        return None
    if name in {"items", "keys", "values"}:
        return list(getattr(value, name)())
    return Table(value, getattr(value, "places", {})) if name == "copy" else UNKNOWN


def _table_item(interpreter: Session, value: dict[Any, Any], name: str, call: Call) -> Any:
    key = call.get(0, "key")
    key = key.value if isinstance(key, Member) else key
    if isinstance(key, Unreadable | Opaque | dict | list):
        return UNKNOWN
    if name == "setdefault" and key not in value:
        set_item(interpreter, value, key, call.get(1, "default"), call.place)
    return value.get(key, call.get(1, "default"))


def _table_update(interpreter: Session, value: dict[Any, Any], call: Call) -> None:
    given = call.get(0, "other")
    if given is not None and not isinstance(given, dict):
        value[Unreadable(call.text)] = Unreadable(call.text)
        given = None
    places = {**getattr(given, "places", {}), **call.keywords.places}
    for one, inner in {**(given or {}), **call.keywords}.items():
        set_item(interpreter, value, one, Unreadable(call.text) if call.doubt else inner, places.get(one, call.place))


def _external(interpreter: Session, name: str, call: Call) -> Any:
    if name in _FUNCTIONS:
        return _FUNCTIONS[name](interpreter, call)
    if name.rpartition(".")[2] == "Celery" and name.partition(".")[0] in {"celery", "Celery"}:
        return make_app(interpreter, call)
    if configuration.reads_variables(name):
        return configuration.read_external(interpreter, name, call)
    if "." not in name:
        return _BUILT_IN[name](interpreter, call) if name in _BUILT_IN else UNKNOWN
    return opaque(call, name)


def _getenv(interpreter: Session, call: Call) -> Any:
    key = call.get(0, "key")
    default = UNKNOWN if interpreter.incomplete else call.get(1, "default")
    return interpreter.environment.get(key, default) if isinstance(key, str) else UNKNOWN


def _setdefault(interpreter: Session, call: Call) -> Any:
    key, value = call.get(0, "key"), call.get(1, "value")
    if isinstance(key, str) and isinstance(value, str):
        return interpreter.environment.setdefault(key, value)
    return UNKNOWN


def _partial(interpreter: Session, call: Call) -> Any:
    if not call.arguments:
        return UNKNOWN
    return Bound(call.arguments[0], tuple(call.arguments[1:]), tuple(call.keywords.items()))


def _flask(interpreter: Session, call: Call) -> Any:
    made = opaque(call, "flask.Flask")
    made.attributes.update(config=Table(), extensions=Table(), import_name=call.get(0, "import_name"))
    return made


def _pattern(interpreter: Session, call: Call) -> Any:
    try:
        return re.compile(call.arguments[0]) if isinstance(call.get(0, "pattern"), str) else UNKNOWN
    except re.error:
        return UNKNOWN


def _joined(interpreter: Session, call: Call) -> Any:
    return posixpath.join(*map(str, call.arguments)) if call.arguments and readable(call.arguments) else UNKNOWN


def _quoted(interpreter: Session, call: Call) -> Any:
    text = call.get(0, "string")
    return quote(text, safe="") if isinstance(text, str) else UNKNOWN


def _module(interpreter: Session, call: Call) -> Any:
    name = call.arguments[0] if call.arguments else None
    return (interpreter.module(name) if isinstance(name, str) else None) or UNKNOWN


def _strtobool(interpreter: Session, call: Call) -> Any:
    text = call.get(0, "val")
    return to_bool(text) if isinstance(text, str) else UNKNOWN


def _queue(interpreter: Session, call: Call) -> Any:
    exchange = call.get(1, "exchange")
    kind: Any = "direct"
    if isinstance(exchange, Opaque):
        kind = exchange.arguments[1] if len(exchange.arguments) > 1 else exchange.keywords.get("type", "direct")
    elif exchange is not None and not isinstance(exchange, str):
        kind = UNKNOWN
    return QueueValue(call.get(0, "name"), exchange, call.get(2, "routing_key"), kind)


def _broadcast(interpreter: Session, call: Call) -> Any:
    return QueueValue(call.get(0, "name"), None, None, "fanout")


_FUNCTIONS: dict[str, Callable[[Session, Call], Any]] = {
    "os.environ.get": _getenv,
    "os.getenv": _getenv,
    "os.environ.setdefault": _setdefault,
    "kombu.Queue": _queue,
    "kombu.entity.Queue": _queue,
    "kombu.common.Broadcast": _broadcast,
    "functools.partial": _partial,
    "flask.Flask": _flask,
    "re.compile": _pattern,
    "os.path.join": _joined,
    "urllib.parse.quote": _quoted,
    "urllib.parse.quote_plus": _quoted,
    "importlib.import_module": _module,
    "django.urls.include": _module,
    "django.conf.urls.include": _module,
    "typing.cast": lambda _, call: call.arguments[1] if len(call.arguments) == 2 else UNKNOWN,
    "distutils.util.strtobool": _strtobool,
}


# ---- built-in functions


def _getattr(interpreter: Session, call: Call) -> Any:
    if len(call.arguments) < 2 or not isinstance(call.arguments[1], str):
        return UNKNOWN
    holder = call.arguments[0]
    found = interpreter.attribute(holder, call.arguments[1])
    known = isinstance(holder, Module | Class | Instance) or holder == External("django.conf.settings")
    return call.arguments[2] if found is UNKNOWN and known and len(call.arguments) == 3 else found


def _dict(interpreter: Session, call: Call) -> Any:
    source = call.arguments[0] if call.arguments else {}
    if not isinstance(source, dict):
        return UNKNOWN
    return Table({**source, **call.keywords}, {**getattr(source, "places", {}), **call.keywords.places})


def _list(interpreter: Session, call: Call) -> Any:
    parts = items(call.arguments[0]) if call.arguments else []
    return UNKNOWN if parts is None else parts


def _tuple(interpreter: Session, call: Call) -> Any:
    parts = _list(interpreter, call)
    return tuple(parts) if isinstance(parts, list) else parts


def _plainly(function: Callable[..., Any]) -> Callable[[Session, Call], Any]:
    """A function of plain values, where these are known."""

    def call_it(interpreter: Session, call: Call) -> Any:
        arguments = [one.value if isinstance(one, Member) else one for one in call.arguments]
        if not call.whole or call.keywords or not readable(arguments):
            return UNKNOWN
        try:
            return function(*arguments)
        except (TypeError, ValueError, OverflowError):
            return UNKNOWN

    return call_it


_BUILT_IN: dict[str, Callable[[Session, Call], Any]] = {
    "getattr": _getattr,
    "dict": _dict,
    "list": _list,
    "set": _list,
    "sorted": _list,
    "tuple": _tuple,
    "frozenset": _tuple,
    "str": _plainly(str),
    "bool": _plainly(bool),
    "int": _plainly(int),
    "float": _plainly(float),
    "len": _plainly(len),
    "range": _plainly(range),
    "callable": lambda _, call: isinstance(call.get(0, "obj"), Function | Class | Bound) or UNKNOWN,
}


def make_app(interpreter: Session, call: Call, cls: Class | None = None) -> App:
    """A call of `Celery`, or of a class that is one."""
    file, line = call.place
    app = App(call.module.name, file, line, main=call.get(0, "main", ""))
    if cls is not None:
        app.attributes["__class__"] = cls
    interpreter.apps.append(app)
    configuration.construct(interpreter, app, call)
    return app
