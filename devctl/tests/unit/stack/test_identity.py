"""Who a stack is, where its state lies, and which runtime a command takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from devctl import settings
from devctl.errors import DevctlError, UsageError
from devctl.settings import Settings
from devctl.stack import identity
from devctl.stack.choice import choose
from devctl.stack.engine import Engine

NOTHING = Engine(client=False)
NO_DAEMON = Engine(client=True, said="Cannot connect to the daemon")
NO_COMPOSE = Engine(client=True, server="26.1")
USABLE = Engine(client=True, server="26.1", compose="2.26.1")


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    root = tmp_path / "My Shop"
    root.mkdir()
    (root / "docker-compose.yml").write_text("services: {redis: {image: redis}}\n")
    return settings.load(start=root, environ={"A": "shell"})


def test_an_isolated_stack_has_the_checkout_s_name_and_its_own(own: Settings) -> None:
    assert "myshop" == identity.project_name(own)
    assert "myshop-k3f9" == identity.project_name(replace(own, stack="k3f9"))


def test_a_folder_name_that_leaves_nothing_still_gives_a_project(tmp_path: Path) -> None:
    root = tmp_path / "工作"
    root.mkdir()
    (root / "compose.yaml").write_text("services: {}\n")
    assert "stack" == identity.project_name(settings.load(start=root, environ={}))


def test_a_stack_is_known_from_its_making_to_its_end(own: Settings) -> None:
    mine = replace(own, stack="mine")
    identity.create(mine, {"PORT": "0"})
    assert ["mine"] == identity.known(own)
    assert {"PORT": "0"} == identity.overrides(mine)
    identity.forget(mine)
    assert [] == identity.known(own)


def test_a_stack_s_own_variables_win_over_the_user_s(own: Settings) -> None:
    mine = replace(own, stack="mine")
    identity.create(mine, {"A": "stack"})
    assert "stack" == identity.interpolation(mine)["A"]
    assert "shell" == identity.interpolation(own)["A"]
    assert "myshop-mine" == identity.interpolation(mine)["COMPOSE_PROJECT_NAME"]


def test_a_stack_that_nobody_made_is_an_error_that_lists_the_others(own: Settings) -> None:
    identity.create(replace(own, stack="k3f9"), {})
    with pytest.raises(UsageError) as caught:
        identity.interpolation(replace(own, stack="k3f8"))
    assert "k3f9" in caught.value.hint


@pytest.mark.parametrize("name", ["main", "Upper", "a b", "../up", "-x", "x" * 40])
def test_a_name_that_could_be_anything_else_is_refused(name: str, own: Settings) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a stack"):
        identity.create(replace(own, stack=name), {})


def test_new_names_are_short_valid_and_different(own: Settings) -> None:
    names = {identity.new_name(own) for _ in range(50)}
    assert len(names) > 40
    for name in names:
        identity.create(replace(own, stack=name), {})


def test_state_that_was_cut_off_says_what_to_remove(own: Settings) -> None:
    mine = replace(own, stack="mine")
    identity.create(mine, {})
    (identity.state_dir(mine) / "env.json").write_text('{"A": ')
    with pytest.raises(DevctlError, match="damaged") as caught:
        identity.interpolation(mine)
    assert "remove" in caught.value.hint


def test_git_does_not_see_the_state(own: Settings) -> None:
    identity.remember_runtime(own, "local")
    assert "*\n" == (own.root / ".devctl" / ".gitignore").read_text()


@pytest.mark.parametrize(
    ("engine", "expected"),
    [(USABLE, "compose"), (NOTHING, "local"), (NO_DAEMON, "local"), (NO_COMPOSE, "local")],
)
def test_auto_takes_containers_where_they_can_run(engine: Engine, expected: str, own: Settings) -> None:
    runtime, reason = choose(own, lambda: engine)
    assert expected == runtime
    assert reason


def test_auto_goes_where_the_stack_already_is(own: Settings) -> None:
    identity.remember_runtime(own, "local")
    assert ("local", "this stack was started there") == choose(own, lambda: USABLE)
    identity.remember_runtime(own, "compose")
    assert ("compose", "this stack was started there") == choose(own, lambda: USABLE)
    identity.forget_runtime(own, "local")
    assert "compose" == identity.last_runtime(own), "it is not where it was ended"
    identity.forget_runtime(own, "compose")
    assert "local" == choose(own, lambda: NOTHING)[0]


def test_containers_whose_engine_is_gone_are_not_replaced_by_processes_in_silence(own: Settings) -> None:
    identity.remember_runtime(own, "compose")
    with pytest.raises(DevctlError, match="started in containers"):
        choose(own, lambda: NO_DAEMON)


def test_asked_for_local_no_engine_is_asked(own: Settings) -> None:
    def ask() -> Engine:
        raise AssertionError

    assert ("local", "asked for") == choose(replace(own, runtime="local"), ask)


@pytest.mark.parametrize(
    ("engine", "problem"),
    [
        (NOTHING, "no docker client on PATH"),
        (NO_DAEMON, "no container engine answers"),
        (NO_COMPOSE, "docker has no Compose v2"),
    ],
)
def test_asked_for_containers_what_is_missing_is_named_with_a_way_out(
    engine: Engine, problem: str, own: Settings
) -> None:
    with pytest.raises(DevctlError) as caught:
        choose(replace(own, runtime="compose"), lambda: engine)
    assert problem in caught.value.problem
    assert "--runtime local" in caught.value.hint
