"""Small insertions into the Compose file and `.env.example`. Places come from the YAML parser; other lines stay."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from devctl.errors import DevctlError

_ANCHORS = ("service", "build", "args", "environment", "probe")


def with_service(text: str, name: str, block: str, file: str) -> str:
    """Return the file with one more service behind the others, before those of profiles; DevctlError where its anchors
    are missing."""
    services = _entry(_root(text), "services")
    if services is None or _entry(services, name) is not None:
        return text
    if missing := [one for one in _ANCHORS if not has_anchors(text, [one])]:
        raise DevctlError(
            f"{file} has no anchor &{missing[0]}: its services are written in another way than devctl knows",
            hint=f"copy the block of a service there and call it {name}; then the same command writes the rest",
        )
    lines = text.splitlines(keepends=True)
    following = [key.start_mark.line for key, _ in _root(text).value if key.start_mark.line > services.start_mark.line]
    apart = [key.start_mark.line for key, service in services.value if _entry(service, "profiles") is not None]
    end = min([*apart, *following], default=len(lines))
    comment = ("#", " " * services.start_mark.column + "#") if end in apart else "#"
    while not lines[end - 1].strip() or lines[end - 1].startswith(comment):  # these belong to what follows
        end -= 1
    lines.insert(end, f"\n{block}")
    return "".join(lines)


def with_extension(text: str, name: str, lines: Sequence[str], file: str) -> str:
    """Return the file with one more block of the top level, `x-…`, before its services."""
    before = _root(text)
    services = next((key for key, _ in before.value if key.value == "services" and not before.flow_style), None)
    given = text.splitlines(keepends=True)
    at = services.start_mark.line if services is not None else len(given)
    while at and given[at - 1].startswith("#"):  # these belong to what follows
        at -= 1
    end = "\r\n" if text.endswith("\r\n") else "\n"
    block = [f"{name}:{end}", *(f"  {line}{end}" for line in lines), end]
    after = "".join([*given[:at], *block, *given[at:]])
    if services is None or _others(after, name) != _others(text, name):
        raise DevctlError(
            f"{file} is written in another way than devctl can insert into",
            details=[f"{name}:", *(f"  {line}" for line in lines)],
            hint=f"add these lines to {file}",
        )
    return after


def _others(text: str, name: str) -> list[tuple[str, str]]:
    """Every other key of the top level, and what stands under it."""
    return [(key.value, yaml.serialize(value)) for key, value in _root(text).value if key.value != name]


def has_anchors(text: str, names: Iterable[str]) -> bool:
    """Whether all of these are there to be used."""
    return all(re.search(rf"&{name}\b", text) for name in names)


def anchor_of(text: str, folder: str) -> str:
    """The anchor of what is watched of a folder; "" without one."""
    found = re.search(rf"&([\w-]+) +\{{path: \./{re.escape(folder)}/src\b", text)
    return found[1] if found else ""


def with_variable(text: str, service: str, name: str, value: str, file: str) -> str:
    """Return the file with one more variable in the environment of a service."""
    node = _entry(_entry(_root(text), "services"), service)
    environment = _entry(node, "environment")
    inside = environment is not None and node is not None and node.start_mark.index < environment.start_mark.index
    if not inside or not isinstance(environment, yaml.MappingNode) or environment.flow_style:
        raise DevctlError(
            f"{file}: the environment of {service} is not written as a map, a line each",
            hint=f"add it by hand, then the same command writes the rest: {name}: {value}",
        )
    if _entry(environment, name) is not None:
        return text
    lines = text.splitlines(keepends=True)
    last = max(key.start_mark.line for key, _ in environment.value)
    lines.insert(last + 1, f"{' ' * environment.start_mark.column}{name}: {value}\n")
    after = "".join(lines)
    expected = yaml.safe_load(text)
    expected["services"][service]["environment"][name] = value
    assert yaml.safe_load(after) == expected, "the last value there is on several lines"
    return after


def with_example(text: str, name: str, value: str, beside: str, comment: str = "") -> str:
    """Return `.env.example` with one more line: below the last whose name matches, else at the end."""
    if re.search(rf"^{name}=", text, re.MULTILINE):
        return text
    lines = text.splitlines(keepends=True)
    places = [number for number, line in enumerate(lines) if re.match(beside, line)]
    if places:
        lines.insert(places[-1] + 1, f"{name}={value}\n")
    else:
        lines.append(f"\n{comment}{name}={value}\n")
    return "".join(lines)


def image_like(text: str, name: str) -> str:
    """Return the `image:` line of a new service, after that of one that is built here; "" where none has one."""
    services = _entry(_root(text), "services")
    for key, service in services.value if services is not None else ():
        image = _entry(service, "image")
        if image is not None and _entry(service, "build") is not None and key.value in str(image.value):
            head, _, tail = str(image.value).rpartition(key.value)
            return f"    image: {head}{name}{tail}\n"
    return ""


def _root(text: str) -> yaml.MappingNode:
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode), "the Compose file was read before"
    return root


def _entry(node: Any, name: str) -> Any:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for key, value in node.value if key.value == name), None)
