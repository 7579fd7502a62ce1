"""Several Compose files as one, without Compose: that it agrees is in tests/test_generated_projects.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from devctl import settings
from devctl.errors import DevctlError, UsageError
from devctl.stack import file, refusal
from devctl.stack.model import Port, Stack

ONE = "services:\n  a: {image: one}\n"


def load(root: Path, files: Mapping[str, str], environ: Mapping[str, str] | None = None) -> settings.Settings:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return settings.load(start=root, environ=environ or {})


def read(root: Path, files: Mapping[str, str], environ: Mapping[str, str] | None = None) -> Stack:
    return file.read(load(root, files, environ))


@pytest.mark.parametrize("main", ["compose.yaml", "docker-compose.yml"])
@pytest.mark.parametrize("override", ["compose.override.yml", "docker-compose.override.yaml"])
def test_an_override_beside_the_file_counts(main: str, override: str, tmp_path: Path) -> None:
    stack = read(tmp_path, {main: ONE, override: "services: {a: {user: me}, b: {image: two}}\n"})
    assert ("one", "me") == (stack.services["a"].image, stack.services["a"].user)
    assert ["a", "b"] == list(stack.services)


def test_of_two_files_compose_s_first_choice_is_taken(tmp_path: Path) -> None:
    files = {"docker-compose.yaml": ONE, "docker-compose.yml": "services: {a: {image: yml}}\n"}
    assert "yml" == read(tmp_path, files).services["a"].image


FILES = {"docker-compose.yml": ONE, "sub/dev.yml": "services: {b: {build: .}}\n", "docker-compose.override.yml": "x\n"}


@pytest.mark.parametrize(
    ("environ", "dotenv"),
    [
        ({"COMPOSE_FILE": "docker-compose.yml:sub/dev.yml"}, ""),
        ({"COMPOSE_FILE": "docker-compose.yml,sub/dev.yml", "COMPOSE_PATH_SEPARATOR": ","}, ""),
        ({}, "COMPOSE_FILE=docker-compose.yml:sub/dev.yml\n"),
    ],
)
def test_compose_file_names_the_files_and_the_first_ones_folder_is_the_root(
    environ: Mapping[str, str], dotenv: str, tmp_path: Path
) -> None:
    found = load(tmp_path, {**FILES, ".env": dotenv}, environ)
    assert (tmp_path, (tmp_path / "docker-compose.yml", tmp_path / "sub" / "dev.yml")) == (
        found.root,
        found.compose_files,
    )
    build = file.read(found).services["b"].build
    assert build is not None
    assert tmp_path == build.context


def test_a_file_that_compose_file_names_in_vain_is_said(tmp_path: Path) -> None:
    with pytest.raises(DevctlError, match=r"COMPOSE_FILE names .*none.yml, which is not there"):
        load(tmp_path, FILES, {"COMPOSE_FILE": "none.yml"})


def test_a_folder_below_takes_the_files_above_it_and_their_dotenv(tmp_path: Path) -> None:
    load(tmp_path, {"compose.yaml": "services: {a: {image: '${TAG}'}}\n", ".env": "TAG=up\n", "in/.env": "TAG=in\n"})
    assert "up" == file.read(settings.load(start=tmp_path / "in", environ={})).services["a"].image


def test_compose_env_files_are_read_in_place_of_dotenv(tmp_path: Path) -> None:
    files = {
        "compose.yaml": "services: {a: {image: '$A-$B-$C'}}\n",
        ".env": "A=not\n",
        "one.env": "A=1\nB=1\n",
        "two.env": "B=2\nC=${A}\n",
    }
    found = load(tmp_path, files, {"COMPOSE_ENV_FILES": "one.env,two.env"})
    assert "1-2-1" == file.read(found).services["a"].image
    assert (tmp_path / "one.env", tmp_path / "two.env") == found.env_files
    assert () == load(tmp_path, files, {"COMPOSE_DISABLE_ENV_FILE": "true"}).env_files


def test_a_dotenv_that_is_a_folder_is_none(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert () == load(tmp_path, {"compose.yaml": ONE}).env_files


def test_lists_are_joined_maps_are_merged_and_commands_are_replaced(tmp_path: Path) -> None:
    below = """services:
  a:
    image: one
    command: [first]
    ports: ["8000:80", "8001:81"]
    environment: {A: 1, B: 1}
    volumes: ["./x:/x", "./y:/y"]
    depends_on: [b]
  b: {image: two}
  c: {image: three}
"""
    above = """services:
  a:
    command: [second]
    ports: ["8001:81", "8002:82"]
    environment: [B=2, C=3]
    volumes: ["./z:/y"]
    depends_on: {c: {condition: service_healthy}}
"""
    a = read(tmp_path, {"compose.yaml": below, "compose.override.yml": above}).services["a"]
    assert ("second",) == a.command
    assert [8000, 8001, 8002] == [port.published for port in a.ports]
    assert {"A": "1", "B": "2", "C": "3"} == a.environment
    assert [(f"{tmp_path}/x", "/x"), (f"{tmp_path}/z", "/y")] == [(one.source, one.target) for one in a.mounts]
    assert {"b": "service_started", "c": "service_healthy"} == a.depends_on


def test_reset_takes_away_and_override_replaces(tmp_path: Path) -> None:
    below = "services: {a: {image: one, ports: ['1:1', '2:2'], command: x, environment: {A: 1}}}\n"
    above = "services: {a: {ports: !override ['3:3'], command: !reset null, environment: !reset {}}}\n"
    a = read(tmp_path, {"compose.yaml": below, "compose.override.yml": above}).services["a"]
    assert [Port(3, 3, "0.0.0.0")] == list(a.ports)  # as Compose does it
    assert (None, {}) == (a.arguments, a.environment)


def test_a_service_extends_one_of_another_file_whose_paths_are_its_own(tmp_path: Path) -> None:
    common = "services: {base: {build: ., env_file: base.env, environment: {A: base, B: base}}}\n"
    main = "services: {a: {extends: {file: common/c.yml, service: base}, environment: {B: own}}}\n"
    files = {"compose.yaml": main, "common/c.yml": common, "common/base.env": "C=file\n"}
    a = read(tmp_path, files).services["a"]
    assert a.build is not None
    assert tmp_path / "common" == a.build.context
    assert {"A": "base", "B": "own", "C": "file"} == a.environment


def test_an_override_of_a_build_keeps_its_folder(tmp_path: Path) -> None:
    above = "services: {a: {build: {target: dev}}, b: {build: {target: dev}}}\n"
    stack = read(tmp_path, {"compose.yaml": "services: {a: {build: ./in}}\n", "compose.override.yml": above})
    builds = [service.build for service in stack.services.values()]
    assert [(tmp_path / "in", "dev"), (tmp_path, "dev")] == [(one.context, one.target) for one in builds if one]


def test_what_is_included_has_its_own_folder_and_its_own_variables(tmp_path: Path) -> None:
    part = "services: {b: {build: ., image: '$TAG'}}\n"
    files = {"compose.yaml": f"include: [part/c.yml]\n{ONE}", "part/c.yml": part, "part/.env": "TAG=part\n"}
    stack = read(tmp_path, files)
    b = stack.services["b"]
    assert b.build is not None
    assert (["a", "b"], "part", tmp_path / "part") == (list(stack.services), b.image, b.build.context)
    with pytest.raises(DevctlError, match=r"services.a: is here, and another one of this name is included"):
        read(tmp_path, {**files, "part/c.yml": "services: {a: {image: other}}\n"})


def test_what_is_wrong_in_a_second_file_is_told_with_that_file(tmp_path: Path) -> None:
    with pytest.raises(DevctlError, match=r"^compose.override.yml:3: services.a.stop_grace_period: 'soon'"):
        read(
            tmp_path,
            {"compose.yaml": ONE, "compose.override.yml": "services:\n  a:\n    stop_grace_period: soon\n"},
        )


def test_a_later_env_file_sees_the_variables_of_an_earlier_one(tmp_path: Path) -> None:
    main = "services: {a: {image: x, env_file: [a.env, b.env, {path: none.env, required: false}]}}\n"
    files = {"compose.yaml": main, "a.env": "DB_HOST=db\n", "b.env": "URL=postgres://${DB_HOST}/app\n"}
    assert {"DB_HOST": "db", "URL": "postgres://db/app"} == read(tmp_path, files).services["a"].environment


def test_a_raw_env_file_is_taken_as_it_stands(tmp_path: Path) -> None:
    main = "services: {a: {image: x, env_file: [{path: a.env, format: raw}]}}\n"
    files = {"compose.yaml": main, "a.env": "# no\nA='$B' # c\nPASSED\nNOBODY\n"}
    assert {"A": "'$B' # c", "PASSED": "p"} == read(tmp_path, files, {"PASSED": "p"}).services["a"].environment


@pytest.mark.parametrize(
    ("template", "hint"),
    [
        (".env.example", "cp .env.example .env"),
        ("example.env", "cp example.env .env"),
        (".env-sample", "cp .env-sample .env"),
        ("README", "write NAME=value lines into .env; if its services need none: touch .env"),
    ],
)
def test_a_missing_env_file_is_made_from_its_template(
    template: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"compose.yaml": "services: {a: {image: x, env_file: .env}, b: {image: x}}\n", template: "A=1\n"}
    services = read(tmp_path, files).services
    assert ((tmp_path / ".env",), ()) == (services["a"].missing_env_files, services["b"].missing_env_files)
    error = refusal.missing(*services["a"].missing_env_files, "a")
    assert (".env is not there, and a reads its variables from it", hint) == (error.problem, error.hint)


def test_an_env_file_that_need_not_be_there_is_not_missing(tmp_path: Path) -> None:
    files = {"compose.yaml": "services: {a: {image: x, env_file: [{path: a.env, required: false}]}}\n"}
    assert () == read(tmp_path, files).services["a"].missing_env_files


PROFILES = """services:
  a: {image: x, depends_on: {b: {condition: service_started, required: false}, c: {condition: service_started}}}
  b: {image: x, profiles: [debug]}
  c: {image: x}
"""


def test_a_service_with_a_profile_is_there_and_starts_when_it_is_asked_for(tmp_path: Path) -> None:
    stack = read(tmp_path, {"compose.yaml": PROFILES})
    assert (["a", "c"], ["b"], ["c", "a"]) == (stack.chosen([]), stack.chosen(["b"]), stack.closure(["a"]))
    asked = read(tmp_path, {"compose.yaml": PROFILES}, {"COMPOSE_PROFILES": "x,debug"})
    assert (["a", "b", "c"], {"b", "c"}) == (asked.chosen([]), {*asked.services["a"].depends_on})


def test_where_every_service_has_a_profile_one_is_to_be_named(tmp_path: Path) -> None:
    stack = read(tmp_path, {"compose.yaml": "services: {a: {image: x, profiles: [one]}}\n"})
    with pytest.raises(UsageError, match="every service has a profile") as caught:
        stack.chosen([])
    assert "COMPOSE_PROFILES=one devctl up" in caught.value.hint


def test_what_the_model_does_not_hold_is_named_with_its_value(tmp_path: Path) -> None:
    text = """services:
  a:
    image: x
    build: {context: ., dockerfile_inline: FROM x}
    stop_signal: SIGINT
    x-mine: 1
    secrets: []
    tty: false
    networks: {front: {aliases: [other]}}
    deploy: {replicas: 2, resources: {limits: {cpus: "1"}}}
networks: {front: }
"""
    a = read(tmp_path, {"compose.yaml": text}).services["a"]
    assert {
        "build.dockerfile_inline": "FROM x",
        "deploy.resources": {"limits": {"cpus": "1"}},
        "networks": {"front": {"aliases": ["other"]}},
        "stop_signal": "SIGINT",
    } == a.unmodelled
    assert ("other",) == a.aliases


def test_links_and_what_is_shared_are_dependencies(tmp_path: Path) -> None:
    text = """services:
  a: {image: x, links: ["b:cache", c], network_mode: "service:d", volumes_from: ["e:ro"]}
  b: {image: x}
  c: {image: x}
  d: {image: x}
  e: {image: x}
"""
    a = read(tmp_path, {"compose.yaml": text}).services["a"]
    assert {"b", "c", "d", "e"} == a.depends_on.keys()
    assert {"cache": "b", "c": "c"} == a.links


def test_the_first_format_of_compose_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(DevctlError, match="first format") as caught:
        read(tmp_path, {"compose.yaml": "web:\n  build: .\n"})
    assert "write `services:` above" in caught.value.hint
