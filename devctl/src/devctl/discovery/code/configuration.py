"""How an app is configured: its constructor, `conf`, objects of settings, and the libraries that read variables."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from typing import Any

from devctl.discovery.code import names
from devctl.discovery.code.operators import UNKNOWN, to_bool
from devctl.discovery.code.session import Call, Session, class_attribute, opaque
from devctl.discovery.code.values import (
    App,
    Class,
    External,
    Function,
    Instance,
    Module,
    Opaque,
    Place,
    Table,
    plain,
)
from devctl.discovery.model import Setting, Unreadable

_CONSTRUCTOR = {"broker": "broker_url", "backend": "result_backend", "result_backend": "result_backend"}
_READERS = {"environ.Env", "environ.FileAwareEnv", "decouple.AutoConfig", "decouple.Config", "environs.Env",
            "starlette.config.Config", "environ.environ.Env"}  # fmt: skip
_FUNCTIONS = {"decouple.config", "environ.config", "prettyconf.config"}
_CASTS = {"int": int, "float": float, "str": str}


# ---- what is set on an app


def put(interpreter: Session, app: App, name: str, value: Any, place: Place) -> None:
    """`app.conf.name = value`."""
    new = names.setting(name)
    if new:
        file, line = place
        app.settings[new] = Setting(new, value, str(file), line)


def construct(interpreter: Session, app: App, call: Call) -> None:
    """`Celery("name", broker=…, include=[…], set_as_current=…, task_default_queue=…)`."""
    if not call.whole:
        app.unreadable.append(call.text)
    given = dict(call.keywords)
    # The constructor's parameters in their order: main, loader, backend, amqp, events, log, control, set_as_current,
    # tasks, broker, include.
    for index, name in {2: "backend", 9: "broker", 10: "include"}.items():
        if index < len(call.arguments):
            given.setdefault(name, call.arguments[index])
    for name, value in given.items():
        place = call.keywords.places.get(name, call.place)
        if name == "include":
            app.include.append(value)
            put(interpreter, app, "include", value, place)
        elif name in _CONSTRUCTOR:
            if value is not None:
                put(interpreter, app, _CONSTRUCTOR[name], value, place)
        elif name == "config_source":
            _from_object(interpreter, app, value, str(given.get("namespace") or ""), call)
        elif name not in {"main", "loader", "amqp", "events", "log", "control", "tasks", "namespace", "strict_typing"}:
            put(interpreter, app, name, value, place)


def method(interpreter: Session, app: App, name: str, call: Call) -> Any:
    """A call of something of an app: `conf.update`, `config_from_object`, `autodiscover_tasks`, …"""
    first = call.get(0, "obj")
    if name in {"conf.update", "conf.setdefault", "conf.add_defaults", "add_defaults"}:
        _update(interpreter, app, call)
        return None
    if name == "conf.get" and isinstance(first, str):
        found = app.all_settings().get(first)
        return found.value if found else UNKNOWN
    if name == "config_from_object":
        namespace = call.keywords.get("namespace", call.arguments[3] if len(call.arguments) > 3 else None)
        if isinstance(namespace, Unreadable):
            app.unreadable.append(call.text)
        else:
            _from_object(interpreter, app, first, namespace or "", call)
        return None
    if name == "config_from_envvar":
        variable = call.get(0, "variable_name")
        module = interpreter.environment.get(variable) if isinstance(variable, str) else None
        _from_object(interpreter, app, module or Unreadable(call.text), "", call)
        return None
    if name == "autodiscover_tasks":
        packages = call.get(0, "packages")
        if isinstance(packages, Function):
            packages = interpreter.call(packages, Call("", call.place, call.module, False, True, [], Table()))
        app.discovers.append((packages, call.get(1, "related_name", "tasks")))
        return None
    if name in {"register_task", "tasks.register"}:
        app.registered.append((first, call))
        return first
    if name in {"conf.include.append", "conf.imports.append"}:
        app.include.append([first])
        return None
    return opaque(call, f"celery.{name}")


def _update(interpreter: Session, app: App, call: Call) -> None:
    given = call.get(0, "d")
    if given is not None:
        if not isinstance(given, dict):
            pairs = list(members(interpreter, given)) if isinstance(given, Module | Class | Instance) else []
            if not pairs:
                app.unreadable.append(call.text)
            for name, value, place in pairs:
                put(interpreter, app, name, _doubted(call, value), place)
        else:
            places = getattr(given, "places", {})
            for name, value in given.items():
                if isinstance(name, str):
                    put(interpreter, app, name, _doubted(call, value), places.get(name, call.place))
                else:
                    app.unreadable.append(call.text)
    if not call.whole:
        app.unreadable.append(call.text)
    for name, value in call.keywords.items():
        put(interpreter, app, name, _doubted(call, value), call.keywords.places.get(name, call.place))


def _doubted(call: Call, value: Any) -> Any:
    return Unreadable(f"{call.text}, under a condition") if call.doubt else value


def _from_object(interpreter: Session, app: App, given: Any, namespace: str, call: Call) -> None:
    found = list(members(interpreter, given))
    holder = _resolve(interpreter, given)
    if holder is None:
        app.unreadable.append(call.text)
        return
    if isinstance(holder, Module) and holder.scope.doubt:
        app.unreadable.append(f"{holder.scope.doubt} in {holder.name}")
    if isinstance(holder, dict) and any(not isinstance(key, str) for key in holder):
        app.unreadable.append(call.text)
    # Of several spellings of one setting, that with the namespace wins, then today's, then the old one.
    for name, value, (file, line) in sorted(found, key=lambda one: names.rank(one[0], namespace), reverse=True):
        new = names.setting(name, namespace)
        if new:
            app.source[new] = Setting(new, _doubted(call, value), str(file), line)


# ---- objects of settings


def _resolve(interpreter: Session, given: Any) -> Any:
    """The module, class, object or dict that is meant; None where it is not here."""
    if isinstance(given, External):
        if given.name != "django.conf.settings":
            return None
        given = "django.conf:settings"
    if isinstance(given, str):
        if given.replace(":", ".") == "django.conf.settings":
            return interpreter.django_settings()
        module_name, _, name = given.partition(":")
        module = interpreter.module(module_name)
        if module is None and not name:
            module_name, _, name = given.rpartition(".")
            module = interpreter.module(module_name)
        if module is None or not name:
            return module
        return _resolve(interpreter, interpreter.attribute(module, name))
    return given if isinstance(given, Module | Class | Instance | dict) else None


def members(interpreter: Session, given: Any) -> Iterator[tuple[str, Any, Place]]:
    """Name, value and place of each setting that an object has."""
    holder = _resolve(interpreter, given)
    if isinstance(holder, Module):
        for name, value in list(holder.scope.names.items()):
            if not name.startswith("_"):
                yield name, value, holder.scope.places.get(name, (holder.file, 1))
    elif isinstance(holder, dict):
        places = getattr(holder, "places", {})
        for name, value in holder.items():
            if isinstance(name, str):
                yield name, value, places.get(name, (interpreter.modules.root, 0))
    elif isinstance(holder, Class | Instance):
        yield from _of_class(interpreter, holder)


def _of_class(interpreter: Session, holder: Class | Instance) -> Iterator[tuple[str, Any, Place]]:
    cls = holder.cls if isinstance(holder, Instance) else holder
    places: dict[str, Place] = {}
    for one in cls.line():
        if isinstance(one, Class):
            for node in one.node.body:
                if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                    places.setdefault(node.target.id, (one.module.file, node.lineno))
            for name in one.scope.names:
                places.setdefault(name, one.scope.places.get(name, (one.module.file, one.node.lineno)))
    if isinstance(holder, Instance):
        for name in holder.attributes:
            places.setdefault(name, (cls.module.file, cls.node.lineno))
    for name, place in places.items():
        if not name.startswith("_"):
            yield name, interpreter.attribute(holder, name), place


def default_of(interpreter: Session, given: Opaque) -> Any:
    """The default of `Field(…)` of pydantic, `field(…)` of a dataclass."""
    if "default" in given.keywords:
        return given.keywords["default"]
    if factory := given.keywords.get("default_factory"):
        place = (interpreter.modules.root, 0)
        module = factory.module if isinstance(factory, Function) else None
        if module is None:
            return Table() if factory == External("dict") else [] if factory == External("list") else UNKNOWN
        return interpreter.call(factory, Call(given.text, place, module, False, True, [], Table()))
    if given.arguments:
        return UNKNOWN if given.arguments[0] is ... else given.arguments[0]
    return UNKNOWN


def field(interpreter: Session, cls: Class, name: str, default: Any) -> Any:
    """One field of pydantic's settings: the environment's word, else its default."""
    annotation, validated = _annotation(cls, name)
    if validated:
        return UNKNOWN
    wanted = [f"{_prefix(interpreter, cls)}{name}"]
    if isinstance(default, Opaque) and default.kind.rpartition(".")[2] == "Field":
        named = [default.keywords.get(one) for one in ("env", "alias", "validation_alias")]
        wanted = [one for one in named if isinstance(one, str)] or wanted
        default = default_of(interpreter, default)
    low = {key.lower(): value for key, value in interpreter.environment.items()}
    for one in wanted:
        if one.lower() in low:
            return _cast(low[one.lower()], annotation)
    return UNKNOWN if interpreter.incomplete else default


def _annotation(cls: Class, name: str) -> tuple[str, bool]:
    """The annotation of a field, and whether a validator may change it."""
    annotation, validated = "", False
    for one in cls.line():
        for node in one.node.body if isinstance(one, Class) else ():
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
                annotation = annotation or ast.unparse(node.annotation)
            if isinstance(node, ast.FunctionDef):
                for decorator in node.decorator_list:
                    if isinstance(decorator, ast.Call) and "validator" in ast.unparse(decorator.func):
                        said = [one.value for one in decorator.args if isinstance(one, ast.Constant)]
                        validated = validated or name in said or "*" in said
    return annotation, validated


def _prefix(interpreter: Session, cls: Class) -> str:
    found = class_attribute(cls, "model_config")
    if isinstance(found, Opaque):
        found = found.keywords
    prefix = found.get("env_prefix") if isinstance(found, dict) else None
    inner = class_attribute(cls, "Config")
    if prefix is None and isinstance(inner, Class):
        prefix = class_attribute(inner, "env_prefix")
    return prefix if isinstance(prefix, str) else ""


def _cast(text: str, annotation: str) -> Any:
    kind = annotation.replace("Optional[", "").rstrip("]").partition("|")[0].strip()
    if kind == "bool":
        return to_bool(text)
    if kind in ("int", "float"):
        try:
            return _CASTS[kind](text)
        except ValueError:
            return UNKNOWN
    if kind.lower().startswith(("list", "dict", "tuple", "set")):
        try:
            return json.loads(text)
        except ValueError:
            return UNKNOWN
    return text


# ---- libraries that read variables


def reads_variables(name: str) -> bool:
    """Whether this function of a library reads a variable of the environment, or makes an object that does."""
    return name in _FUNCTIONS or name in _READERS or name == "environs.Env"


def is_reader(value: Opaque) -> bool:
    """Whether an object reads variables: `env` of `env = environ.Env()`."""
    return value.kind in _READERS


def read_external(interpreter: Session, name: str, call: Call) -> Any:
    """`decouple.config(…)`, or an object that is called so."""
    if name in _READERS:
        return Opaque(call.text, name, tuple(call.arguments), dict(call.keywords))
    return _variable(interpreter, "", call, None)


def read_variable(interpreter: Session, reader: Opaque, name: str, call: Call) -> Any:
    """`env.str("NAME", default=…)`."""
    return _variable(interpreter, name, call, reader)


def call_reader(interpreter: Session, reader: Opaque, call: Call) -> Any:
    """`env("NAME", default=…)`."""
    return _variable(interpreter, "", call, reader)


def _variable(interpreter: Session, kind: str, call: Call, reader: Opaque | None) -> Any:
    key = call.get(0, "var")
    if not isinstance(key, str) or kind in {"read_env", "read_envfile"}:
        return UNKNOWN
    cast: Any = call.keywords.get("cast")
    scheme = reader.keywords.get(key) if reader else None
    text = interpreter.environment.get(key)
    if text is None and interpreter.incomplete:
        return UNKNOWN
    if text is None:
        missing: Any = UNKNOWN
        if isinstance(scheme, tuple) and len(scheme) == 2:
            missing = scheme[1]
        position = 2 if reader is not None and not kind and len(call.arguments) > 2 else 1
        default = call.keywords.get("default", call.arguments[position] if len(call.arguments) > position else missing)
        if isinstance(default, str) and isinstance(cast, External) and cast.name in {"int", "float", "bool"}:
            return _as(default, cast.name)
        return default
    if isinstance(scheme, tuple) and scheme:
        cast = cast or scheme[0]
    name = kind or (cast.name if isinstance(cast, External) else "")
    if cast is not None and not isinstance(cast, External):
        return UNKNOWN
    return _as(text, name)


def _as(text: str, name: str) -> Any:
    if name in ("", "str", "url", "unicode"):
        return text
    if name == "bool":
        return to_bool(text)
    if name in ("int", "float"):
        try:
            return _CASTS[name](text)
        except ValueError:
            return UNKNOWN
    if name in ("list", "tuple"):
        return [part for part in text.split(",") if part]
    if name in ("json", "dict"):
        try:
            return json.loads(text)
        except ValueError:
            return UNKNOWN
    return UNKNOWN


def settled(app: App) -> dict[str, Setting]:
    """The settings as others can read them."""
    return {name: Setting(name, plain(one.value), one.file, one.line) for name, one in app.all_settings().items()}
