"""What is wrong with a Compose file is said with file, line and the word in question."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from devctl import settings
from devctl.errors import DevctlError
from devctl.stack import file, movable
from devctl.stack.model import Stack

HEAD = "x-devctl: {broker: redis, workers: [redis], contracts: tasks}\n"
GOOD = f"{HEAD}services:\n  redis: {{image: redis}}\n"


def settled(root: Path, text: str, environ: Mapping[str, str] | None = None) -> settings.Settings:
    (root / "docker-compose.yml").write_text(text)
    return settings.load(start=root, environ=environ or {})


def read(root: Path, text: str, environ: Mapping[str, str] | None = None) -> Stack:
    return file.read(settled(root, text, environ))


BROKEN = {
    "syntax": (f"{HEAD}services:\n  redis: [\n", "docker-compose.yml:4: not YAML"),
    "indentation": (f"{GOOD}   worker:\n  image: x\n", "docker-compose.yml:4: not YAML"),
    "a tab": (f"{HEAD}services:\n\tredis: {{}}\n", "docker-compose.yml:3: not YAML"),
    "a key twice": (f"{GOOD}  redis: {{image: other}}\n", "docker-compose.yml:4: not YAML: key 'redis' stands twice"),
    "an unknown anchor": (f"{GOOD}  two: *nobody\n", "docker-compose.yml:4: not YAML"),
    "empty": ("", "docker-compose.yml:1: empty"),
    "a list": ("- services\n", "docker-compose.yml:1: empty, or not a mapping"),
    "no services": (HEAD, "docker-compose.yml:1: services: no services"),
    "a service that is a word": (f"{GOOD}  two: image\n", "docker-compose.yml:4: services.two: a service is a map"),
    "an extended service that is not there": (
        f"{GOOD}  two:\n    image: x\n    extends: {{service: three}}\n",
        "docker-compose.yml:6: services.two.extends: no service 'three' in docker-compose.yml",
    ),
    "services that extend each other": (
        f"{GOOD}  two: {{extends: three}}\n  three: {{extends: two}}\n",
        "services.two.extends: the services extend each other",
    ),
    "an included file that is not there": (f"include: [other.yml]\n{GOOD}", "docker-compose.yml:1: include.0: "),
    "a file that includes itself": (
        f"include: [docker-compose.yml]\n{GOOD}",
        "docker-compose.yml:1: include.0: the files include each other",
    ),
    "a list that is a word": (f"{GOOD}  two: {{image: x, working_dir: [a]}}\n", "services.two.working_dir: a word is"),
    "two containers of one name": (
        f"{GOOD}  two: {{image: x, container_name: a, scale: 2}}\n",
        "services.two.container_name: a name is there once",
    ),
    "a cycle": (
        (
            f"{GOOD}  a: {{image: x, depends_on: [b]}}\n  b: {{image: x, depends_on: [c]}}\n"
            "  c: {image: x, depends_on: [a]}\n"
        ),
        "docker-compose.yml:4: services.a.depends_on: the services wait for each other: a → b → c → a",
    ),
    "itself": (f"{GOOD}  a: {{image: x, depends_on: [a]}}\n", "wait for each other: a → a"),
    "an unknown dependency": (
        f"{GOOD}  two:\n    image: x\n    depends_on:\n      - reddis\n",
        "docker-compose.yml:7: services.two.depends_on.reddis: no such service",
    ),
    "an x-devctl that is a word": ("x-devctl: redis\nservices: {a: {image: x}}\n", "docker-compose.yml:1: x-devctl: "),
    "two brokers": (
        "services: {a: {image: x}, b: {image: x}}\nx-devctl:\n  broker: [a, b]\n",
        "docker-compose.yml:3: x-devctl.broker: one service is the broker",
    ),
    "a demo of nobody": (
        "services: {a: {image: x}}\nx-devctl:\n  demo:\n    service: b\n",
        "docker-compose.yml:4: x-devctl.demo.service: no service 'b'; services: a",
    ),
    "a demo that is a word": (
        "services: {a: {image: x}}\nx-devctl:\n  demo: a\n",
        "docker-compose.yml:3: x-devctl.demo: not a map",
    ),
    "a broker that is not there": (
        "services: {a: {image: x}}\nx-devctl:\n  broker: redis\n",
        "docker-compose.yml:3: x-devctl.broker: no service 'redis'; services: a",
    ),
    "a worker that is not there": (
        "services: {a: {image: x}}\nx-devctl:\n  broker: a\n  workers: [a, w]\n",
        "docker-compose.yml:4: x-devctl.workers: no service 'w'",
    ),
    "an alias for nobody": (
        "services: {a: {image: x}}\nx-devctl:\n  broker: a\n  aliases: {b: c}\n",
        "docker-compose.yml:4: x-devctl.aliases: no service 'c'",
    ),
    "a required variable": (
        f"{GOOD}  two:\n    image: x\n    environment:\n      URL: ${{URL:?where is it}}\n",
        "docker-compose.yml:7: services.two.environment.URL: URL is not set: where is it",
    ),
    "a dollar and a lonely brace": (
        f"{GOOD}  two: {{image: x, command: 'a ${{ b'}}\n",
        "a dollar sign itself is written $$",
    ),
    "no port is that high": (f"{GOOD}  two: {{image: x, ports: ['8000:80001']}}\n", "a port is a number up to 65535"),
    "a port": (f"{GOOD}  two:\n    image: x\n    ports: [web]\n", "docker-compose.yml:6: services.two.ports.0: 'web'"),
    "ranges of two lengths": (f"{GOOD}  two: {{image: x, ports: ['1-3:1-2']}}\n", "differ in length"),
    "a duration": (
        f"{GOOD}  two: {{image: x, stop_grace_period: soon}}\n",
        "docker-compose.yml:4: services.two.stop_grace_period: 'soon' is not a duration",
    ),
    "a health check": (
        f"{GOOD}  two: {{image: x, healthcheck: {{test: [curl, x]}}}}\n",
        "starts with CMD or CMD-SHELL",
    ),
    "replicas": (f"{GOOD}  two: {{image: x, deploy: {{replicas: many}}}}\n", "'many' is not a whole number"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_named_with_its_line(case: str, tmp_path: Path) -> None:
    text, expected = BROKEN[case]
    with pytest.raises(DevctlError) as caught:
        read(tmp_path, text)
    assert expected in caught.value.problem
    assert caught.value.hint


@pytest.mark.parametrize(("value", "why"), [("80001", "a port is a number up to 65535"), ("abc", "is not a port")])
@pytest.mark.parametrize("where", [".env", "the environment"])
def test_a_wrong_value_is_laid_to_the_variable_that_it_came_from(
    value: str, why: str, where: str, tmp_path: Path
) -> None:
    text = f"{GOOD}  two:\n    image: x\n    ports: ['127.0.0.1:${{TWO_PORT:-8001}}:8001']\n"
    if where == ".env":
        (tmp_path / ".env").write_text(f"TWO_PORT={value}\n")
    with pytest.raises(DevctlError) as caught:
        read(tmp_path, text, {} if where == ".env" else {"TWO_PORT": value})
    assert caught.value.problem.startswith(f"TWO_PORT in {where} is wrong: docker-compose.yml:6: ")
    assert why in caught.value.problem
    assert f"correct it in {where}" == caught.value.hint


@pytest.mark.parametrize("head", ["", "x-devctl:\n", "x-devctl: {}\n"])
def test_a_file_without_x_devctl_says_no_more_than_it_does(head: str, tmp_path: Path) -> None:
    stack = read(tmp_path, f"{head}services:\n  redis: {{image: redis}}\n")
    assert ("", (), "", {}) == (stack.broker, stack.workers, stack.contracts, stack.demo)


def test_x_devctl_may_say_one_thing_alone(tmp_path: Path) -> None:
    stack = read(tmp_path, "x-devctl: {workers: [a]}\nservices:\n  a: {image: x}\n")
    assert ("", ("a",), "") == (stack.broker, stack.workers, stack.contracts)


def test_a_value_that_is_wrong_for_want_of_a_variable_names_it(tmp_path: Path) -> None:
    with pytest.raises(DevctlError, match=r"services.two.volumes.0: ':/x' is not a volume") as caught:
        read(tmp_path, f"{GOOD}  two: {{image: x, volumes: ['${{SOURCE}}:/x']}}\n")
    assert "set SOURCE in .env, or in the environment" == caught.value.hint


def test_a_variable_that_nobody_set_is_empty_and_told_with_its_line(tmp_path: Path) -> None:
    text = f"{GOOD}  two:\n    image: x\n    environment:\n      A: a${{NOBODY}}b\n"
    stack, unset = file.load(settled(tmp_path, text))
    assert "ab" == stack.services["two"].environment["A"]
    assert [file.Unset("NOBODY", "docker-compose.yml:7")] == unset


def test_the_line_of_a_merged_value_is_where_it_was_written(tmp_path: Path) -> None:
    text = f"x-base: &base\n  stop_grace_period: soon\n{HEAD}services:\n  redis: {{<<: *base, image: redis}}\n"
    with pytest.raises(DevctlError, match=r"docker-compose.yml:2: services\.redis\.stop_grace_period"):
        read(tmp_path, text)


def test_a_list_of_environments_takes_what_is_passed_through(tmp_path: Path) -> None:
    text = f"{GOOD}  two: {{image: x, environment: [A, B=1, C]}}\n"
    assert {"A": "here", "B": "1"} == read(tmp_path, text, {"A": "here"}).services["two"].environment


def test_the_variables_of_ports_are_found_in_every_form(tmp_path: Path) -> None:
    text = (
        f"{GOOD}  two:\n    image: ${{TAG:-x}}\n    ports:\n      - '127.0.0.1:${{TWO_PORT:-8000}}:8000'\n"
        "      - {target: 9000, published: '${NINE}'}\n      - '7000:7000'\n"
    )
    settled_ = settled(tmp_path, text)
    assert ["TWO_PORT", "NINE"] == [*movable.variables(settled_).values()]
    assert {8000: "TWO_PORT", 9000: "NINE"} == movable.variables_of(settled_, "two")


@pytest.mark.parametrize(
    ("ports", "variable"),
    [
        ("${BIND:-127.0.0.1}:${P:-6379}:6379", "P"),
        ("${BIND:-127.0.0.1}:${P:-6379}:${P:-6379}", None),
        ("127.0.0.1:${P:-${OLD_P:-6379}}:6379", "P"),
        ("${P:-6379}:${INNER:-6379}", "P"),
        ("[::1]:${P:-6379}:6379/udp", "P"),
        ("${TOLD:-6379}:6379", None),
        ("${BOTH:-127.0.0.1:6379}:6379", None),
        ("${INNER:-6379}", None),
        ("6379:6379", None),
    ],
)
def test_a_variable_moves_a_port_where_it_says_that_port_and_nothing_else(
    ports: str, variable: str | None, tmp_path: Path
) -> None:
    text = f"{GOOD}  two:\n    image: x\n    ports: ['{ports}']\n    environment: {{PORT: '${{TOLD:-6379}}'}}\n"
    assert variable == movable.variables_of(settled(tmp_path, text), "two").get(6379)


def test_the_variable_of_a_port_is_found_in_an_override_too(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.override.yml").write_text("services: {redis: {ports: ['${P:-1}:6379']}}\n")
    assert {("redis", 6379): "P"} == movable.variables(settled(tmp_path, GOOD))


def test_what_the_command_line_says_of_an_unreadable_file_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "docker-compose.yml").write_bytes(b"\xff\xfe\x00services")
    with pytest.raises(DevctlError, match="not YAML"):
        file.read(settings.load(start=tmp_path, environ={}))
