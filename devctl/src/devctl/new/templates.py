"""The texts of what is made: short, and formatted as `ruff format` would."""

from __future__ import annotations

from dataclasses import dataclass

from devctl.new.names import TaskName
from devctl.new.python import WIDTH

ECHOED = "text"
"""The one field of a payload and a result that were just made."""


def schemas(task: TaskName) -> str:
    return f"""\
class {task.payload}(TaskPayload):
    {ECHOED}: str


class {task.result}(TaskResult):
    {ECHOED}: str
"""


def contract(task: TaskName, queue: str) -> str:
    return f'''\
{task.short} = Contract(
    name="{task.full}",
    queue="{queue}",
    payload={task.payload},
    result={task.result},
    retries=RetryPolicy(limit=3, cap_seconds=30),
)
'''


def handler(task: TaskName, payload: str, result: str, *, echoes: bool) -> str:
    takes = f"payload: {payload}" if payload != "None" else "_: None"
    does = f'raise PermanentError("{task.words}: to be written")'
    if echoes:
        does = f"return {result}({ECHOED}=payload.{ECHOED})"
    signature = f"def {task.handler}({takes}) -> {result}:"
    if len(signature) > WIDTH:
        signature = f"def {task.handler}(\n    {takes},\n) -> {result}:"
    return f"@implements({task.short})\n{signature}\n    {does}\n"


def handler_test(task: TaskName, payload: str, *, echoes: bool) -> str:
    if echoes:
        return f"""\
def test_{task.short}() -> None:
    payload = {payload}(source_service="test", {ECHOED}="hello")
    assert "hello" == {task.handler}(payload).{ECHOED}
"""
    given = f"{payload}.model_construct()" if payload != "None" else "None"
    return f"""\
import pytest


def test_{task.short}_is_not_written_yet() -> None:
    with pytest.raises(PermanentError):
        {task.handler}({given})
"""


HANDLERS = '"""The bodies of the tasks that this service owns."""\n'


def consumer_main(service: str, package: str, task: TaskName, http_port: int | None) -> str:
    port = f", http_port={http_port}" if http_port else ""
    return f'''\
"""python -m {package}.main: run the tasks that this service owns, until a SIGTERM."""

import sys


def main() -> int:
    return serve("{service}", owns=[{task.handler}]{port})


if __name__ == "__main__":
    sys.exit(main())
'''


def api_main(service: str, package: str, http_port: int) -> str:
    return f'''\
"""python -m {package}.main: the API, until a SIGTERM."""

import sys


def main() -> int:
    return serve("{service}", create_api, {http_port})


if __name__ == "__main__":
    sys.exit(main())
'''


def api(service: str) -> str:
    return f'''\
"""The routes. Strict JSON, limits, error answers, probes and metrics are celeriac.http's."""

from celeriac import CelerySettings
from celeriac.http import Api


def create_api(settings: CelerySettings | None = None) -> Api:
    """The whole service. Without `settings`, the environment is read; raises SettingsError."""
    api = Api("{service}", [], settings)
    api.title = "{service.replace("-", " ").capitalize()}"

    return api
'''


def api_test() -> str:
    return """\
def test_it_has_its_probes() -> None:
    api = create_api(CelerySettings())
    assert {"/health", "/ready", "/metrics"} <= {route.path for route in api.routes}
    api.broker.close()
"""


def project(name: str, package: str, contracts: str, distribution: str, extra: str, sources: dict[str, str]) -> str:
    paths = "".join(f'{one} = {{ path = "{path}", editable = true }}\n' for one, path in sources.items())
    own = f'  "{distribution}",\n' if contracts else ""
    renamed = f'\n[tool.deptry.package_module_name_map]\n{distribution} = "{contracts}"\n' if contracts else ""
    return f'''\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "0.1.0"
requires-python = ">=3.11"
classifiers = ["Private :: Do Not Upload"]
dependencies = [
  "celeriac{extra}",
{own}]

[tool.uv.sources]
{paths}
[tool.hatch.build.targets.wheel]
packages = ["src/{package}"]

[tool.deptry]
known_first_party = ["{package}"]
{renamed}'''


WATCHED = ("celeriac", "bytecode")
"""Anchors of `develop: watch:` in the Compose file, beside that of the contracts' folder."""


UNPUBLISHED_PORT = 8000
"""Where a consumer answers Prometheus in the network of the stack."""


def service_block(
    name: str, package: str, folder: str, image: str, port: tuple[str, int] | None, *, consumes: bool, watched: str
) -> str:
    """Of the Compose file. A consumer whose port is published has one replica and is asked over HTTP; others have a
    health file, and answer /metrics in the network of the stack only.

    `watched`: the anchor of the contracts' folder; "" without one.
    """
    args = f"{{<<: *args, SERVICE: {package}" + (f', HTTP_PORT: "{port[1]}"}}' if port else "}")
    lines = [
        f"  {name}:",
        "    <<: *service",
        *([image.rstrip()] if image else []),
        "    build:",
        "      <<: *build",
        f"      context: ./{folder}",
        f"      args: {args}",
    ]
    if watched:
        lines += [
            "    develop:",
            "      watch:",
            f"        - {{path: ./{folder}/src, action: rebuild, target: /app, ignore: *bytecode}}",
            f"        - *{watched}",
            "        - *celeriac",
            f"        - {{path: ./{folder}/requirements.lock, action: rebuild}}",
        ]
    lines.append(f'    command: ["python", "-m", "{package}.main"]')
    if port:
        lines.append(f'    ports: ["127.0.0.1:${{{port[0]}:-{port[1]}}}:{port[1]}"]')
    elif consumes:
        lines.append(f'    expose: ["{UNPUBLISHED_PORT}"]')
    lines += ["    environment:", "      <<: *environment"]
    if port or consumes:
        lines += ["      HTTP_HOST: 0.0.0.0", f'      HTTP_PORT: "{port[1] if port else UNPUBLISHED_PORT}"']
    if consumes:
        lines += [
            "      WORKER_CONCURRENCY: ${WORKER_CONCURRENCY:-1}",
            "      WORKER_POOL: ${WORKER_POOL:-threads}",
            "      WORKER_MAX_RUN_SECONDS: ${WORKER_MAX_RUN_SECONDS:-300}",
            "      WORKER_STOP_SECONDS: ${WORKER_STOP_SECONDS:-25}",
        ]
        if not port:
            lines.append("      WORKER_HEALTH_FILE: /tmp/worker-health")
        lines.append("      WORKER_MOUNT: ${WORKER_MOUNT:-}")
    asked = f'"http", "http://127.0.0.1:{port[1]}/ready"' if port else '"file", "/tmp/worker-health"'
    lines += [
        "    healthcheck:",
        "      <<: *probe",
        f'      test: ["CMD", "python", "-m", "celeriac.health", {asked}]',
    ]
    return "\n".join(lines) + "\n"


def scraped(name: str, port: int) -> str:
    """Of Prometheus's file, whose last part is `scrape_configs`: every replica of the service."""
    asked = f"{{names: [{name}], type: A, port: {port}, refresh_interval: 5s}}"
    return f"\n  - job_name: {name}\n    dns_sd_configs: [{asked}]\n"


@dataclass(frozen=True)
class Models:
    """The names that an endpoint uses."""

    payload: str
    request: str
    accepted: str
    progress: str
    keys: str
    id: str
    """The payload's field that is the id of the task: task_id, or picture_id."""


def request_model(name: str, fields: list[str]) -> str:
    body = "".join(f"    {one}\n" for one in fields) or "    pass\n"
    return f'''\
class {name}(Model):
    """What a caller sends; the id, the time and the source are filled in here."""

{body}'''


def accepted_model(name: str) -> str:
    return f'''\
class {name}(Model):
    """The broker has confirmed it; it will be worked on."""

    task_id: UUID
    status: State = State.PENDING
'''


def progress_model(name: str, result: str) -> str:
    shown = f"    result: {result} | None = None\n" if result != "None" else ""
    return f'''\
class {name}(Model):
    """How far it is."""

    task_id: UUID
    status: State
    progress: float | None = None  # 0 to 1, where the handler says it
    note: str | None = None
{shown}    error: Failure | None = None
'''


def endpoint(path: str, service: str, task: TaskName, models: Models, *, with_result: bool) -> str:
    """The two routes, as they stand in `create_api`: publish, and ask how far it is."""
    result = "\n            result=found.result," if with_result else ""
    return f'''\
    @api.post(
        "{path}",
        status_code=202,
        responses=accepted_responses(),
        summary="{task.words.capitalize()}",
        openapi_extra={{"parameters": [CORRELATION_ID, IDEMPOTENCY_KEY]}},
    )
    def publish_{task.short}(
        request: {models.request},
        task_id: Annotated[UUID, Depends({models.keys})],
        response: Response,
    ) -> {models.accepted}:
        """Accepted once the broker has confirmed it. `Location` says where to look how far it is."""
        payload = {models.payload}(
            {models.id}=task_id,
            source_service="{service}",
            **dict(request),
        )
        {task.short}.delay(payload)
        response.headers["Location"] = f"{path}/{{task_id}}"
        return {models.accepted}(task_id=task_id)

    @api.get(
        "{path}/{{task_id}}",
        response_model_exclude_none=True,
        responses=error_responses({{404: "There is none, or no longer.", 503: "The broker does not answer."}}),
        summary="{task.words.capitalize()}: how far it is",
        openapi_extra={{"parameters": [CORRELATION_ID]}},
    )
    def find_{task.short}(task_id: UUID) -> {models.progress}:
        """`pending`, `started`, `retrying`, `succeeded` with the result, or `failed` with a reason."""
        found = progress_of({task.short}, task_id)
        if found is None:
            raise ApiError(404, "not_found", f"There is no {task.words} {{task_id}}.")
        return {models.progress}(
            task_id=task_id,
            status=found.state,
            progress=found.progress,
            note=found.note,{result}
            error=found.failure,
        )

'''


def endpoint_test(path: str, body: str) -> str:
    return f'''\
"""POST {path}, and how far it is."""

import warnings
from collections.abc import Iterator

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have httpx2, and works with httpx
    from starlette.testclient import TestClient

BODY = """
{body}
"""


@pytest.fixture
def client(redis_url: str) -> Iterator[TestClient]:
    api = create_api(CelerySettings(broker_url=redis_url))
    with TestClient(api, raise_server_exceptions=False) as opened:
        yield opened
    api.broker.close()


def test_it_is_accepted_and_says_where_to_look(client: TestClient) -> None:
    answer = client.post(
        "{path}",
        content=BODY,
        headers={{"Content-Type": "application/json"}},
    )
    assert (202, "") == (answer.status_code, "" if answer.is_success else answer.text)
    assert "pending" == client.get(answer.headers["Location"]).json()["status"]
'''
