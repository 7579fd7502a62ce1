"""devctl reads the Compose file itself, so that it works without an engine; here Compose says what is right.

Needs the `docker compose` command, no engine.
"""

import functools
import json
import os
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from devctl import settings
from devctl.stack import file
from devctl.stack.model import Stack

ROOT = Path(__file__).parents[1]
REPOSITORIES = ROOT / "devctl" / "tests" / "repositories"
HEAD = "x-devctl: {broker: redis, workers: [redis], contracts: tasks}\n"


@functools.cache
def compose_problem() -> str | None:
    if shutil.which("docker") is None:
        return "no docker on PATH"
    asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return "docker has no compose plugin" if asked.returncode else None


def of_compose(root: Path, environ: dict[str, str]) -> Stack:
    if problem := compose_problem():
        pytest.skip(problem)
    done = subprocess.run(
        ["docker", "compose", "--profile", "*", "config", "--format", "json"],
        cwd=root,
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return file.from_config(
        json.loads(done.stdout), [name for name in environ.get("COMPOSE_PROFILES", "").split(",") if name]
    )


def ours(root: Path, environ: dict[str, str]) -> Stack:
    home = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    return file.read_here(settings.load(start=root, environ={**home, **environ}, runtime="auto", stack=""))


def lines(value: object, path: str = "") -> list[str]:
    """One line a value, in an order of their own: a difference can be read."""
    if path.endswith(".unmodelled"):  # Compose writes some values otherwise: 1g is 1073741824
        return [f"{path} = {list(value)}"]
    if not isinstance(value, dict):
        return [f"{path} = {value!r}"]
    return sorted(line for key, item in value.items() for line in lines(item, f"{path}.{key}"))


@pytest.mark.parametrize(
    "environ",
    [{}, {"SERVICE1_PORT": "0", "REDIS_PORT": "7000", "CELERY_BROKER_URL": "redis://:p$$w@redis:6379/1"}],
    ids=["as it is", "with variables"],
)
def test_the_repository_s_own_file(environ):
    assert lines(asdict(of_compose(ROOT, environ))) == lines(asdict(ours(ROOT, environ)))


@pytest.mark.parametrize("repository", sorted(path.name for path in REPOSITORIES.iterdir() if path.is_dir()))
def test_the_repositories_that_know_nothing_of_devctl(repository, tmp_path):
    shutil.copytree(REPOSITORIES / repository, tmp_path / repository)
    assert lines(asdict(of_compose(tmp_path / repository, {}))) == lines(asdict(ours(tmp_path / repository, {})))


SHAPES = {
    "ports, short": """
        redis:
          image: redis
          ports: ["6379", "7000:6380", "127.0.0.1:7001:6381", "127.0.0.1::6382", "7002:6383/udp", 6384, 22:22]
    """,
    "ports, ranges": """
        redis: {image: redis, ports: ["7000-7002:8000-8002", "9000-9001"]}
    """,
    "ports, IPv6": """
        redis: {image: redis, ports: ["[::1]:7000:6379"]}
    """,
    "ports, long": """
        redis:
          image: redis
          ports:
            - {target: 6379, published: 7000, host_ip: 127.0.0.1, protocol: tcp, mode: host}
            - {target: 6380, published: "${P:-7001}"}
            - {target: 6381}
    """,
    "environment as a list": """
        redis:
          image: redis
          environment: [A=1, B=, "C=x=y", PASSED, NOT_SET_ANYWHERE, "D=a b", 'E="quoted"']
    """,
    "environment as a map": """
        redis:
          image: redis
          environment: {I: 1, F: 1.5, G: 1.0, H: 1e3, T: true, ON: on, NO: no, EMPTY: "", NOTHING: null, PASSED: ,
            S: "01", O: 0o17, TIME: "12:30:45", NULLISH: "null",
            BIG: 123456789.5, U: 1_000, HEX: 0x1F, TILDE: "~", N: -1}
    """,
    "env_file": """
        redis:
          image: redis
          env_file: [one.env, {path: two.env, required: false}, {path: none.env, required: false}]
          environment: {A: own}
    """,
    "env_file, one word": "  redis: {image: redis, env_file: one.env}",
    "interpolation": """
        redis:
          image: redis:${TAG:-8}
          command: ["a${NOT_SET-x}", "${EMPTY:-y}", "${EMPTY-z}", "$$HOME", "${SET:+a}", "${SET+b}", "$SET", "a$${SET}"]
          environment:
            NESTED: ${NOT_SET:-${ALSO_NOT:-deep}}
            BRACES: ${NOT_SET:-{}}
            URL: redis://:${SET:?needed}@redis:6379/0
            FROM_DOTENV: ${DOTENV}
            NO_VARIABLE: "pa$1 ${NOT_SET:-$5} costs $"
    """,
    "commands": """
        redis: {image: redis, command: 'redis-server --save "" --appendonly yes'}
        two: {image: x, command: ["a b", "c"]}
        three: {image: x, entrypoint: python -m, command: thing}
        four: {image: x, entrypoint: ["sh", "-c"], command: ["echo $$A && b"]}
        five:
          image: x
          command: >-
            celery -A app
            worker -Q 'a b'
    """,
    "depends_on": """
        redis: {image: redis}
        two: {image: x, depends_on: [redis]}
        three:
          image: x
          depends_on: {redis: {condition: service_healthy}, two: {condition: service_completed_successfully}}
        four: {image: x, links: ["redis:cache"], depends_on: [two]}
    """,
    "health checks": """
        redis: {image: redis, healthcheck: {test: [CMD, redis-cli, ping], interval: 1m30s, timeout: 500ms, retries: 5}}
        two: {image: x, healthcheck: {test: curl -f http://localhost || exit 1, start_period: 1h, start_interval: 2s}}
        three: {image: x, healthcheck: {disable: true}}
        four: {image: x, healthcheck: {test: NONE}}
        five: {image: x, healthcheck: {test: ["CMD-SHELL", "a | b"], interval: 0.5s}}
    """,
    "anchors and merge keys": """
        redis: &base
          image: redis
          environment: &env {A: 1, B: 2}
          restart: always
        two:
          <<: *base
          environment: {<<: *env, B: 3}
        three:
          <<: [{image: first}, {image: second, restart: on-failure:3}]
          stop_grace_period: 1m
    """,
    "builds": """
        redis: {image: redis}
        two: {build: ./two}
        three: {image: x, build: {context: three, dockerfile: Other}}
        four: {build: {context: .., args: {A: "1"}}}
        five: {build: {}}
    """,
    "replicas and restarts": """
        redis: {image: redis, restart: no}
        two: {image: x, scale: 3}
        three: {image: x, deploy: {replicas: 2}, restart: unless-stopped}
        four: {image: x, deploy: {replicas: "${N:-4}"}, stop_grace_period: 90s}
    """,
    "profiles": """
        redis: {image: redis}
        two: {image: x, profiles: [debug]}
        three: {image: x, profiles: [other, asked]}
    """,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape(shape, tmp_path):
    root = tmp_path / "A Shop_1"
    (root / "three").mkdir(parents=True)
    (root / "docker-compose.yml").write_text(HEAD + "services:\n" + SHAPES[shape])
    (root / ".env").write_text("DOTENV=from ${SET} pa$1\n")
    (root / "one.env").write_text("A=one\nexport B='$x'\nC=\"two\\nlines\"  # note\nD=${SET}$1\nF=a$\nPASSED\n")
    (root / "two.env").write_text("B=two\nE=${NOT_SET:-default}\n")
    environ = {"SET": "set$1", "EMPTY": "", "PASSED": "through", "COMPOSE_PROFILES": "asked"}
    assert lines(asdict(of_compose(root, environ))) == lines(asdict(ours(root, environ)))


@pytest.mark.parametrize(
    ("folder", "head", "environ"),
    [
        ("My Shop.2", "", {}),
        ("_-x", "", {}),
        ("folder", "name: named\n", {}),
        ("folder", "name: ${N:-default}\n", {}),
        ("folder", "name: named\n", {"COMPOSE_PROJECT_NAME": "given"}),
    ],
)
def test_the_project_name(folder, head, environ, tmp_path):
    root = tmp_path / folder
    root.mkdir()
    (root / "docker-compose.yml").write_text(
        f"{head}{HEAD}services: {{redis: {{image: '${{COMPOSE_PROJECT_NAME}}'}}}}\n"
    )
    assert lines(asdict(of_compose(root, environ))) == lines(asdict(ours(root, environ)))
