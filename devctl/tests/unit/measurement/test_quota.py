"""CPU quotas of control groups, as the kernel writes them: both versions, from outside a container and inside."""

from __future__ import annotations

from pathlib import Path

import pytest

from devctl.measurement import quota


class System:
    """A /proc and a /sys/fs/cgroup."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.groups = folder / "proc", folder / "cgroup"
        self.groups.mkdir()

    def process(self, name: str, *lines: str) -> None:
        (self.proc / name).mkdir(parents=True)
        (self.proc / name / "cgroup").write_text("".join(f"{line}\n" for line in lines))

    def group(self, path: str, **files: str) -> None:
        folder = self.groups / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text + "\n")

    def quota(self, pid: int | None = None) -> quota.Quota | None:
        return quota.of(pid, self.proc, self.groups)


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def test_a_quota_is_in_cpus(system: System) -> None:
    system.process("self", "0::/system.slice/docker-1.scope")
    system.group("system.slice/docker-1.scope", cpu__max="150000 100000", cpu__stat="usage_usec 2500000\nuser_usec 1")

    found = system.quota()
    assert found
    assert (1.5, 2.5) == (found.cpus, found.used_seconds())


def test_the_smallest_quota_around_a_process_is_the_one_that_holds(system: System) -> None:
    system.process("7", "0::/slice/one/two")
    system.group("slice", cpu__max="50000 100000", cpu__stat="usage_usec 9000000")
    system.group("slice/one/two", cpu__max="200000 100000", cpu__stat="usage_usec 1000000")

    found = system.quota(7)
    assert found
    assert (0.5, 9.0) == (found.cpus, found.used_seconds())


def test_in_a_container_its_own_quota_is_at_the_top(system: System) -> None:
    system.process("self", "0::/")
    system.group("", cpu__max="200000 100000")
    found = system.quota()
    assert found
    assert (2.0, None) == (found.cpus, found.used_seconds())


@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
def test_version_1_has_two_files(system: System, controllers: str) -> None:
    system.process("8", "9:name=systemd:/", f"1:{controllers}:/docker/abc", "0::/")
    system.group(f"{controllers}/docker/abc", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    system.group(f"{'cpuacct' if controllers == 'cpu' else controllers}/docker/abc", cpuacct__usage="3000000000")

    found = system.quota(8)
    assert found
    assert (0.5, 3.0) == (found.cpus, found.used_seconds())


def test_in_a_container_of_version_1_the_path_is_that_of_the_machine_and_is_not_there(system: System) -> None:
    system.process("self", "1:cpu:/docker/abc")
    system.group("cpu", cpu__cfs_quota_us="50000", cpu__cfs_period_us="100000")
    found = system.quota()
    assert found
    assert 0.5 == found.cpus


def test_without_a_limit_there_is_no_quota(system: System) -> None:
    system.process("self", "1:cpu:/", "0::/user.slice")
    system.group("cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    system.group("user.slice", cpu__max="max 100000")
    assert system.quota() is None


def test_what_cannot_be_seen_from_here_has_no_quota(system: System) -> None:
    system.process("9", "0::/../another")
    system.group("", cpu__max="100000 100000")
    assert system.quota(9) is None, "that of this container is not its"
    assert system.quota(10) is None, "it is gone"
