"""Repositories that are made up: whatever way a service is started, it is found to be what it was made as."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from devctl import settings as devctl_settings
from devctl.discovery.app_settings import reader
from devctl.discovery.roles import find
from devctl.stack import file

COMMANDS = {
    "worker": [
        "celery -A proj worker -l info",
        "celery worker --app=proj -Q a,b",
        "python -m celery -A proj worker",
        "celery multi start one -A proj",
    ],
    "beat": ["celery -A proj beat", "celery beat -A proj -s /tmp/schedule"],
    "monitor": ["celery -A proj flower --port=5555", "flower --broker=redis://somewhere"],
    "web": ["uvicorn main:app --host 0.0.0.0", "python manage.py runserver", "gunicorn -w 4 proj.wsgi"],
    "job": ["python manage.py migrate", "alembic upgrade head", "pytest -q"],
}
WRAPPERS = [
    "{}",
    "poetry run {}",
    "uv run --no-sync {}",
    "env A=1 B=2 {}",
    "gosu app {}",
    "tini -- {}",
    "wait-for-it.sh db:5432 -- {}",
    "watchmedo auto-restart --recursive -p '*.py' -- {}",
    "sh -c 'sleep 1 && exec {}'",
    "bash -c 'cd /app; {}'",
]
SCRIPTS = [
    "exec {}",
    "set -e\npython manage.py check\n{}",
    'if [ "$KIND" = other ]; then\n  exec sleep 1\nfi\nexec {}',
    "until nc -z db 5432; do\n  sleep 1\ndone\n{}",
    "run() {{\n  exec {}\n}}\nrun",
    'case "${{KIND:-this}}" in\n  this) {} ;;\n  *) exit 1 ;;\nesac',
    "ARGS='{}'\n$ARGS",
]
WAYS = ["command", "words", "entrypoint", "dockerfile", "exec form", "script", "script of the image", "handed on"]


@dataclass
class Repository:
    """Files, and what each service was made as."""

    services: dict[str, dict[str, object]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    broker: str = ""

    def add(self, name: str, role: str, line: str, way: str, script: str) -> None:
        """Add a service that runs this line in this way."""
        service: dict[str, object] = {"build": {"context": ".", "dockerfile": f"{name}.Dockerfile"}}
        image = ["FROM python:3.12-slim", "WORKDIR /app", "COPY . ."]
        words = line.split(" ")
        plain = "'" not in line
        if way == "command" or (not plain and way in ("words", "exec form", "entrypoint")):
            service["command"] = line
        elif way == "words":
            service["command"] = words
        elif way == "entrypoint":
            service |= {"entrypoint": words[:1], "command": words[1:]}
        elif way == "dockerfile":
            image.append(f"CMD {line}")
        elif way == "exec form":
            image.append(f"CMD {json.dumps(words)}")
        elif way == "handed on":
            self.files[f"{name}-entry"] = '#!/bin/sh\nexport READY=1\nexec "$@"\n'
            image.append(f'ENTRYPOINT ["/app/{name}-entry"]')
            service["command"] = line
        else:
            text = script.format(line) if plain else f"exec {line}"
            self.files[f"scripts/{name}"] = f"#!/bin/bash\n{text}\n"
            image.append(f"COPY scripts/{name} /start-{name}")
            if way == "script":
                service["command"] = f"/start-{name}"
            else:
                image.append(f'ENTRYPOINT ["/start-{name}"]')
        self.files[f"{name}.Dockerfile"] = "\n".join(image) + "\n"
        self.services[name], self.roles[name] = service, role


@st.composite
def repositories(draw: st.DrawFn) -> Repository:
    made = Repository()
    for number in range(draw(st.integers(1, 4))):
        role = draw(st.sampled_from(sorted(COMMANDS)))
        line = draw(st.sampled_from(WRAPPERS)).format(draw(st.sampled_from(COMMANDS[role])))
        made.add(f"s{number}", role, line, draw(st.sampled_from(WAYS)), draw(st.sampled_from(SCRIPTS)))
    stores = {"queue": draw(st.sampled_from(["redis:7", "rabbitmq:3-management"])), "cache": "valkey/valkey:8"}
    for name, image in stores.items():
        made.services[name] = {"image": image}
    called = draw(st.sampled_from(["queue", "the-queue", "queue.local"]))
    if called != "queue":
        made.services["queue"][draw(st.sampled_from(["hostname", "container_name"]))] = called
    scheme = "redis" if stores["queue"].startswith("redis") else "amqp"
    workers = [name for name, role in made.roles.items() if role == "worker"]
    if workers:
        made.broker = "queue"
        how = draw(st.sampled_from(["CELERY_BROKER_URL", "BROKER_URL", "code"]))
        url = f"{scheme}://user:pass@{called}/"
        made.files["proj.py"] = "from celery import Celery\napp = Celery()\n"
        if how == "code":
            made.files["proj.py"] = f"from celery import Celery\napp = Celery(broker='{url}')\n"
        for name in workers if how != "code" else ():
            made.services[name]["environment"] = draw(st.sampled_from([{how: url}, [f"{how}={url}"]]))
    return made


@settings(max_examples=100, deadline=None)
@given(repositories())
def test_each_service_is_found_as_what_it_was_made(made: Repository) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        for name, text in made.files.items():
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(text)
        (root / "compose.yaml").write_text(json.dumps({"services": made.services}))
        loaded = devctl_settings.load(start=root, environ={})
        found = find(file.read(loaded), "compose.yaml", loaded.root, settings=reader(loaded.root))
    assert {name: found.services[name].roles[0] for name in made.roles} == made.roles
    if made.broker:
        assert found.broker.value == made.broker, found.broker.source
