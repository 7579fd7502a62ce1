"""The locks: complete, agreeing with each other, hashed, and silent about where packages come from. All offline."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGES = tuple(sorted(file.parent.name for file in ROOT.glob("*/pyproject.toml")))
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].values()
DEPLOYED = tuple(Path(one["build"]["context"]).name for one in SERVICES if "build" in one)
PEERS = tuple(
    sorted(
        str(lock.relative_to(ROOT)) for place in ("tests/interop", "tools/*") for lock in ROOT.glob(f"{place}/*.lock")
    )
)
BESIDE = tuple(str(lock.relative_to(ROOT)) for lock in ROOT.glob("celeriac/tests/*/*.lock"))  # on the path with .venv
LOCKS = ("dev.lock", "tools/bootstrap.lock", *PEERS, *BESIDE, *(f"{folder}/requirements.lock" for folder in DEPLOYED))
OURS = {"celeriac", "common-tasks"}  # come from this repository, not from a lock

Pins = dict[str, set[str]]


def pins(lock: str) -> Pins:
    """Package -> versions; a universal lock may hold several, for different platforms."""
    found: Pins = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", lock, re.MULTILINE):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def missing(requirements: list[str], locked: Pins) -> list[str]:
    """The requirements that no pin satisfies: the lock is stale."""
    wanted = [Requirement(text) for text in requirements]
    return [
        str(one)
        for one in wanted
        if canonicalize_name(one.name) not in OURS
        and not any(one.specifier.contains(v, prereleases=True) for v in locked.get(canonicalize_name(one.name), ()))
    ]


def drifting(locked: Pins, reference: Pins) -> list[str]:
    """The packages whose version is not the reference's."""
    return sorted(name for name, versions in locked.items() if not versions <= reference.get(name, set()))


def unhashed(lock: str) -> list[str]:
    """The pins without a hash behind them."""
    entries = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)[1:]
    return [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry]


def addresses(lock: str) -> list[str]:
    """Lines that tell from where, or on which machine, the lock was made."""
    return [
        line for line in lock.splitlines() if re.search(r"://|--(extra-)?index|--find-links|--trusted|(^|\s)/", line)
    ]


def dependencies(folder: str) -> list[str]:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]["dependencies"]


def extras(folder: str) -> list[str]:
    """What the extras of celeriac ask for that this package takes."""
    (asked,) = (Requirement(text).extras for text in dependencies(folder) if Requirement(text).name == "celeriac")
    offered = tomllib.loads((ROOT / "celeriac" / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return [text for extra in asked for text in offered[extra]]


def read(lock: str) -> str:
    return (ROOT / lock).read_text()


@pytest.mark.parametrize("folder", PACKAGES)
def test_the_dev_lock_has_what_each_package_asks_for_with_all_its_extras(folder):
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    extras = [text for asked in project.get("optional-dependencies", {}).values() for text in asked]
    assert missing([*project["dependencies"], *extras], pins(read("dev.lock"))) == []


def test_the_dev_lock_has_the_tools_and_the_build_backend():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert missing([*settings["dependency-groups"]["dev"], "hatchling"], pins(read("dev.lock"))) == []


@pytest.mark.parametrize("folder", DEPLOYED)
def test_an_images_lock_has_what_its_service_the_contracts_and_celeriac_ask_for(folder):
    wanted = [*dependencies(folder), *dependencies("common"), *dependencies("celeriac"), *extras(folder)]
    assert missing(wanted, pins(read(f"{folder}/requirements.lock"))) == []


@pytest.mark.parametrize("folder", DEPLOYED)
def test_an_image_runs_the_versions_that_were_tested(folder):
    assert drifting(pins(read(f"{folder}/requirements.lock")), pins(read("dev.lock"))) == []


@pytest.mark.parametrize("lock", BESIDE)
def test_what_lies_beside_the_environment_is_locked_at_the_same_versions(lock):
    asked = [re.sub("#.*", "", line) for line in read(lock.replace(".lock", ".in")).splitlines()]
    reference, locked = pins(read("dev.lock")), pins(read(lock))
    assert missing([line for line in asked if line.strip()], locked) == []
    assert drifting({name: locked[name] for name in locked.keys() & reference.keys()}, reference) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash(lock):
    assert pins(read(lock)) != {}
    assert unhashed(read(lock)) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_and_no_machine(lock):
    assert addresses(read(lock)) == []


GOOD = "# by make lock\nredis==5.2.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n    # via -c ../dev.lock\n"


def test_the_checks_find_nothing_in_a_good_lock():
    assert pins(GOOD) == {"redis": {"5.2.0"}}
    assert (missing(["redis>=5"], pins(GOOD)), unhashed(GOOD), addresses(GOOD)) == ([], [], [])


def test_a_dependency_that_is_not_locked_makes_the_lock_stale():
    assert missing(["redis>=5", "celery>=5.6"], pins(GOOD)) == ["celery>=5.6"]


def test_a_bound_that_the_locked_version_breaks_makes_the_lock_stale():
    assert missing(["redis>=6"], pins(GOOD)) == ["redis>=6"]


def test_another_version_than_the_dev_locks_is_drift():
    assert drifting(pins(GOOD), {"redis": {"5.2.1"}}) == ["redis"]


def test_a_pin_without_a_hash_is_found_behind_one_that_has_some():
    assert unhashed(GOOD + "kombu==5.6.0\n    # via celery\n") == ["kombu==5.6.0"]


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://packages.example/simple",
        "--find-links wheels",
        "# via -r /home/someone/worker/pyproject.toml",
    ],
)
def test_an_address_or_a_path_of_a_machine_is_found(line):
    assert addresses(f"{GOOD}{line}\n") == [line]
