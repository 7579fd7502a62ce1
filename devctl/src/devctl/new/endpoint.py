"""An endpoint: two routes of an HTTP API, one that publishes a task and one that says how far it is."""

from __future__ import annotations

import ast
import builtins
import json
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from devctl.errors import DevctlError, UsageError
from devctl.new import python, templates
from devctl.new.names import TaskName
from devctl.new.repository import Home, Repository
from devctl.new.service import dependencies, name_of, with_dependency

_OF_HTTP = (
    "CORRELATION_ID",
    "IDEMPOTENCY_KEY",
    "ApiError",
    "Failure",
    "IdempotencyKeys",
    "State",
    "accepted_responses",
    "error_responses",
    "progress_of",
)
_CREATE = "create_api"

Sample = Callable[[str], Mapping[str, Any]]
"""A valid payload of a task, by its name."""


def add(repository: Repository, path: str, service: str, task: TaskName, sample: Sample) -> None:
    """Add the routes, their models, and a test that asks them."""
    home = repository.home(service)
    repository.require_contract(task.short)
    file = home.file("api.py")
    if not repository.changes.has(file) or not python.defines(repository.changes.read(file), _CREATE):
        raise UsageError(
            f"{home.name} has no HTTP API: no api.py with a function {_CREATE}",
            hint="devctl new service NAME --http",
        )
    text = repository.changes.read(file)
    if f"def publish_{task.short}(" in text:
        route = rf'@api\.post\(\s*"{re.escape(path)}"((?!@api\.).)*def publish_{task.short}\('
        if not re.search(route, text, re.DOTALL):
            raise UsageError(f"{home.name} publishes {task.short} under another path already", hint=f"look into {file}")
        return
    if f'"{path}"' in text:
        raise UsageError(f"{home.name} has an endpoint {path} already", hint="another path")
    models, fields, needed = _models(repository, task)
    has_result = _named(repository, task, "result") != ""
    repository.changes.write(
        file, _edited(repository, text, home, path, task, models, fields, needed, has_result=has_result)
    )
    body = {name: value for name, value in sample(task.full).items() if name in fields}
    test = templates.endpoint_test(path, json.dumps(body, indent=2, ensure_ascii=False))
    test = repository.with_imports(test, {"celeriac": ["CelerySettings"], f"{home.package}.api": [_CREATE]})
    repository.changes.create(home.tests / f"test_{task.short}_endpoint.py", test)
    _project(repository, home, needed)


def _edited(
    repository: Repository,
    text: str,
    home: Home,
    path: str,
    task: TaskName,
    models: templates.Models,
    fields: Mapping[str, str],
    needed: Mapping[str, set[str]],
    *,
    has_result: bool,
) -> str:
    result = _named(repository, task, "result")
    namespace = uuid.uuid5(uuid.NAMESPACE_URL, f"{home.name}{path}")
    try:
        line = python.last_return(text, _CREATE).lineno
        routes = templates.endpoint(path, home.name, task, models, with_result=has_result)
        text = python.inserted_at(text, line, routes)
        code = [
            templates.request_model(models.request, list(fields.values())),
            templates.accepted_model(models.accepted),
            templates.progress_model(models.progress, result or "None"),
            f'# Its namespace is never to be changed.\n{models.keys} = IdempotencyKeys(UUID("{namespace}"))\n',
        ]
        text = python.inserted_at(text, python.first_line(text, _CREATE), "\n\n".join(code) + "\n\n")
        text = python.with_argument(text, "Api", task.short, keyword="publishes", position=1)
    except python.NotFound as wrong:
        raise DevctlError(
            f"{home.file('api.py')}: {wrong}",
            hint=f'write it like this: def {_CREATE}(…): api = Api("{home.name}", […], …); …; return api',
        ) from wrong
    contracts = repository.contracts.package
    imported: dict[str, set[str]] = {
        "typing": {"Annotated"},
        "uuid": {"UUID"},
        "fastapi": {"Depends", "Response"},
        "celeriac": {"Model"},
        "celeriac.http": set(_OF_HTTP),
        f"{contracts}.schemas": {models.payload, *([result] if result else [])},
        f"{contracts}.tasks": {task.short},
    }
    for module, found in needed.items():
        imported.setdefault(module, set()).update(found)
    return repository.with_imports(text, imported)


def _models(repository: Repository, task: TaskName) -> tuple[templates.Models, dict[str, str], dict[str, set[str]]]:
    """The names, the request's fields as they are written, and what these need to be imported."""
    payload = _named(repository, task, "payload")
    if not payload:
        raise UsageError(f"{task.short} takes no payload: there is nothing to send", hint="devctl tasks")
    schemas = repository.changes.read(repository.contracts.schemas)
    try:
        found = python.fields_of(schemas, payload)
    except python.NotFound as wrong:
        raise DevctlError(f"{repository.contracts.schemas}: {wrong}", hint="write the endpoint by hand") from wrong
    id_ = str(python.class_value(schemas, payload, "named_by") or "task_id")
    stem = payload.removesuffix("Payload")
    models = templates.Models(
        payload, f"{stem}Request", f"{stem}Accepted", f"{stem}Progress", f"{task.short.upper()}_KEYS", id_
    )
    kept = {name: node for name, node in found.items() if name != id_}
    fields = {name: python.source(schemas, node) for name, node in kept.items()}
    return models, fields, _imports(repository, schemas, list(kept.values()))


def _imports(repository: Repository, schemas: str, nodes: list[ast.AnnAssign]) -> dict[str, set[str]]:
    used = {one.id for node in nodes for one in ast.walk(node) if isinstance(one, ast.Name)}
    used -= {node.target.id for node in nodes if isinstance(node.target, ast.Name)} | set(dir(builtins))
    needed: dict[str, set[str]] = {}
    for name in sorted(used):
        module = f"{repository.contracts.package}.schemas" if python.defines(schemas, name) else ""
        for node in ast.parse(schemas).body:
            if isinstance(node, ast.ImportFrom) and name in {alias.asname or alias.name for alias in node.names}:
                module = node.module or ""
        if module:
            needed.setdefault(module, set()).add(name)
    return needed


def _named(repository: Repository, task: TaskName, keyword: str) -> str:
    """The model that a contract names; "" where it takes, or gives, nothing."""
    tasks = repository.changes.read(repository.contracts.tasks)
    found = python.argument(tasks, task.short, keyword)
    if not isinstance(found, ast.Name):
        raise DevctlError(
            f"the {keyword} of {task.short} is not written as {keyword}=MODEL", hint="write the endpoint by hand"
        )
    return "" if found.id == "NoneType" else found.id


def _project(repository: Repository, home: Home, needed: Mapping[str, set[str]]) -> None:
    """What the API imports from now on; what only fields need is asked for as the contracts ask for it."""
    text = before = repository.changes.read(home.project)
    contracts = repository.contracts
    tops = {module.partition(".")[0] for module in needed}
    asked = dependencies((contracts.folder / "pyproject.toml").read_text(encoding="utf-8"))
    of_fields = [one for one in asked if name_of(one).replace("-", "_") in tops - {"celeriac"}]
    for requirement in (contracts.distribution, "fastapi>=0.115", *of_fields):
        text = with_dependency(text, requirement)
    if f"\n{contracts.distribution} = {{" not in text and "[tool.uv.sources]\n" in text:
        source = f'{contracts.distribution} = {{ path = "../{contracts.folder.name}", editable = true }}\n'
        head, table, rest = text.partition("[tool.uv.sources]\n")
        first, newline, tail = rest.partition("\n")
        text = f"{head}{table}{first}{newline}{source}{tail}"
    if "[tool.deptry.package_module_name_map]" not in text and text != before:
        text += f'\n[tool.deptry.package_module_name_map]\n{contracts.distribution} = "{contracts.package}"\n'
    repository.changes.write(home.project, text)
