"""Measure what the README claims, on this machine: `make figures`, or some of them:

    python tools/figures.py help up-local compose clone alone images rebuild watch idle

Each is run several times and interleaved with what it is compared to; medians are printed, with the command.
Works in a clone of the last commit in a temporary folder, in stacks of its own; leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MEGABYTE = 1_000_000
BASES = {"python": "python:3.11-slim", "redis": "redis:8-alpine"}


def run(*command: str | Path, cwd: Path, environment: dict[str, str] | None = None, check: bool = True) -> str:
    """Run a command to its end and return what it printed; SystemExit with both its outputs where it fails."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout


def seconds(*command: str | Path, cwd: Path, environment: dict[str, str] | None = None) -> float:
    """How long a whole command takes."""
    begun = time.perf_counter()
    run(*command, cwd=cwd, environment=environment)
    return time.perf_counter() - begun


def say(what: str, figure: str, target: str, command: str) -> None:
    """One row of the README's table."""
    print(f"| {what} | {target} | {figure} | `{command}` |", flush=True)


def free_ports() -> dict[str, str]:
    """A free port for each variable of the Compose file."""
    found = {}
    for name in ("REDIS_PORT", "SERVICE1_PORT", "SERVICE2_PORT"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            found[name] = str(probe.getsockname()[1])
    return found


def devctl(folder: Path) -> Path:
    """That checkout's devctl."""
    return folder / ".venv" / "bin" / "devctl"


@contextmanager
def clone() -> Iterator[Path]:
    """The last commit in a folder of its own, with images and ports of its own; everything is stopped afterwards."""
    with tempfile.TemporaryDirectory(prefix="figures-") as temporary:
        folder = Path(temporary) / f"figures{os.getpid()}"
        run("git", "clone", "-q", ROOT, folder, cwd=ROOT)
        os.environ.update(free_ports(), COMPOSE_PROJECT_NAME=folder.name)
        try:
            yield folder
        finally:
            if devctl(folder).exists():
                for runtime in ("local", "compose") if engine() else ("local",):
                    run(devctl(folder), "down", "--volumes", "--runtime", runtime, cwd=folder, check=False)
            if engine():
                for name in ("worker", "service1", "service2"):
                    run("docker", "image", "rm", "-f", f"{folder.name}-{name}", cwd=folder, check=False)


def engine() -> bool:
    """Whether containers can be measured."""
    return (
        shutil.which("docker") is not None
        and not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    )


def interleaved(times: int, **commands: Callable[[], float]) -> dict[str, float]:
    """Medians of commands that take turns, so that a machine that slows down slows all."""
    taken: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(times):
        for name, command in commands.items():
            taken[name].append(command())
    return {name: statistics.median(values) for name, values in taken.items()}


def measure_help(folder: Path) -> None:
    python = folder / ".venv" / "bin" / "python"
    complete = {"_DEVCTL_COMPLETE": "complete_bash", "COMP_WORDS": "devctl up ser", "COMP_CWORD": "2"}
    median = interleaved(
        15,
        typer=lambda: seconds(python, "-c", "import typer", cwd=folder),
        help=lambda: seconds(devctl(folder), "--help", cwd=folder),
        completion=lambda: seconds(devctl(folder), cwd=folder, environment=complete),
    )
    for name, command in (("help", "devctl --help"), ("completion", "devctl up ser<TAB>")):
        ratio = median[name] / median["typer"]
        say(
            f"`{command}`",
            f"{median[name] * 1000:.0f} ms, {ratio:.2f} × `import typer`",
            "≤ 1.4 × `import typer`",
            "make figures ONLY=help",
        )


def measure_up_local(folder: Path) -> None:
    def up() -> float:
        return seconds(devctl(folder), "up", "service1", "--runtime", "local", cwd=folder)

    def down() -> float:
        return seconds(devctl(folder), "down", "--runtime", "local", cwd=folder)

    up(), down()
    median = interleaved(5, up=up, down=down)
    say("`devctl up service1`, local, warm", f"{median['up']:.1f} s", "≤ 3 s", "make figures ONLY=up-local")
    say("`devctl down`, local", f"{median['down']:.1f} s", "≤ 3 s", "make figures ONLY=up-local")


def measure_compose(folder: Path) -> None:
    def up_with(*command: str | Path) -> Callable[[], float]:
        def up() -> float:
            taken = seconds(*command, cwd=folder)
            run("docker", "compose", "down", cwd=folder)
            return taken

        return up

    ours = up_with(devctl(folder), "up", "service1", "--runtime", "compose")
    theirs = up_with("docker", "compose", "up", "--wait", "service1")
    ours(), theirs()
    median = interleaved(5, ours=ours, theirs=theirs)
    say(
        "`devctl up service1`, compose, images built",
        f"{median['ours']:.1f} s, {median['ours'] / median['theirs']:.2f} × `docker compose up --wait service1`",
        "≤ 1.15 ×",
        "make figures ONLY=compose",
    )


def measure_clone(_: Path) -> None:
    for runtime in ("local", "compose") if engine() else ("local",):
        with clone() as fresh:
            nothing = {
                "XDG_CACHE_HOME": str(fresh.parent / "cache"),
                "UV_CACHE_DIR": str(fresh.parent / "cache" / "uv"),
            }
            begun = time.perf_counter()
            run("make", "setup", cwd=fresh, environment={**nothing, "PIP_NO_CACHE_DIR": "1"})
            if runtime == "compose":  # no layer of ours is reused; a builder's own pip cache may be
                run("docker", "compose", "build", "--no-cache", "service1", cwd=fresh)
            run(
                devctl(fresh),
                "up",
                "service1",
                "--runtime",
                runtime,
                "--timeout",
                "180",
                cwd=fresh,
                environment=nothing,
            )
            taken = time.perf_counter() - begun
        say(
            f"service1 from a clean clone, nothing built or installed before, {runtime}",
            f"{taken:.0f} s",
            "< 3 min",
            "make figures ONLY=clone",
        )


def memory(folder: Path, runtime: str) -> tuple[int, int]:
    """Bytes and replicas of what runs, as `devctl ps` says."""
    services: list[dict[str, Any]] = json.loads(run(devctl(folder), "ps", "--json", "--runtime", runtime, cwd=folder))[
        "services"
    ]
    return sum(one["memory_bytes"] or 0 for one in services), sum(one["replicas"] for one in services)


def measure_alone(folder: Path) -> None:
    for runtime in ("local", "compose") if engine() else ("local",):
        run(devctl(folder), "up", "service1", "--runtime", runtime, cwd=folder)
        time.sleep(3)
        alone, few = memory(folder, runtime)
        run(devctl(folder), "up", "--runtime", runtime, cwd=folder)
        time.sleep(3)
        whole, all_of_them = memory(folder, runtime)
        run(devctl(folder), "down", "--volumes", "--runtime", runtime, cwd=folder)
        say(
            f"service1 alone against the whole stack, {runtime}",
            f"{alone / whole:.0%} of the memory ({alone / MEGABYTE:.0f} of {whole / MEGABYTE:.0f} MB), "
            f"{few} of {all_of_them} {'containers' if runtime == 'compose' else 'replicas'}",
            "< 50% of both; 2 of 4 are 50%",
            "make figures ONLY=alone",
        )


def measure_images(folder: Path) -> None:
    run(devctl(folder), "build", "--runtime", "compose", cwd=folder)

    def size(image: str) -> int:
        return int(run("docker", "image", "inspect", "-f", "{{.Size}}", image, cwd=folder))

    base = size(BASES["python"])
    above = {name: size(f"{folder.name}-{name}") - base for name in ("worker", "service1", "service2")}
    shown = ", ".join(f"{name} {bytes_ / MEGABYTE:.0f} MB" for name, bytes_ in above.items())
    say("images above their base", shown, "≤ 50 MB", "make figures ONLY=images")


def measure_rebuild(folder: Path) -> None:
    up = (devctl(folder), "up", "--runtime", "compose")
    run(*up, cwd=folder)
    for what, file, target in (
        ("a service", "example-service-1/src/service1/__init__.py", "≤ 10 s"),
        ("`common`", "common/src/common_tasks/__init__.py", "≤ 30 s"),
    ):
        taken = []
        for number in range(3):
            with (folder / file).open("a") as source:
                source.write(f"\n# {number}\n")
            taken.append(seconds(*up, cwd=folder))
        say(
            f"a one-line change in {what}, rebuilt and healthy",
            f"{statistics.median(taken):.1f} s",
            target,
            "make figures ONLY=rebuild",
        )
    run(devctl(folder), "down", "--volumes", "--runtime", "compose", cwd=folder)


def measure_watch(folder: Path) -> None:
    """From the save of a file of service1 to the first answer of the new code."""
    measured = {runtime: _watched(folder, runtime) for runtime in ("local", *(["compose"] if engine() else []))}
    figure = ", ".join(f"{taken:.1f} s {name}" for name, taken in measured.items())
    say("a saved change answers, `devctl watch`", figure, "< 2 s", "make figures ONLY=watch")


def _watched(folder: Path, runtime: str) -> float:
    file = folder / "example-service-1/src/service1/api.py"
    original, taken = file.read_text(), []
    command = [str(devctl(folder)), "up", "service1", "--watch", "--json", "--runtime", runtime]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as watch:
        assert watch.stdout is not None
        for line in watch.stdout:
            told = json.loads(line)
            if told.get("event") not in ("watching", "live"):
                continue
            if len(taken) == 5:
                watch.terminate()
                break
            file.write_text(original.replace('VERSION = "0.1.0"', f'VERSION = "{runtime}-{len(taken)}"'))
            begun = time.perf_counter()
            while _version() != f"{runtime}-{len(taken)}":
                time.sleep(0.05)
            taken.append(time.perf_counter() - begun)
    file.write_text(original)
    run(devctl(folder), "down", "--volumes", "--runtime", runtime, cwd=folder)
    return statistics.median(taken)


def _version() -> str:
    address = f"http://127.0.0.1:{os.environ['SERVICE1_PORT']}/openapi.json"
    try:
        with urllib.request.urlopen(address, timeout=1) as answer:
            return str(json.load(answer)["info"]["version"])
    except (OSError, ValueError):
        return ""


def measure_idle(folder: Path) -> None:
    import psutil

    run(devctl(folder), "up", "--runtime", "local", cwd=folder)
    time.sleep(5)
    mine = [
        p for p in psutil.process_iter() if "supervisor.supervisord" in " ".join(_command(p)) and _within(p, folder)
    ]
    tree = [one for p in mine for one in (p, *p.children(recursive=True))]
    before = sum(sum(one.cpu_times()[:2]) for one in tree)
    time.sleep(30)
    used = sum(sum(one.cpu_times()[:2]) for one in tree) - before
    bytes_ = sum(one.memory_full_info().pss for one in tree)
    run(devctl(folder), "down", "--volumes", "--runtime", "local", cwd=folder)
    figure = f"{bytes_ / 2**20:.0f} MiB PSS in {len(tree)} processes, {used / 30:.1%} of a CPU"
    say("idle stack, local", figure, "≤ 250 MB, < 2%", "make figures ONLY=idle")


def _command(process: Any) -> list[str]:
    try:
        return list(process.cmdline())
    except Exception:  # it has gone
        return []


def _within(process: Any, folder: Path) -> bool:
    return any(str(folder) in word for word in _command(process))


FIGURES: dict[str, tuple[Callable[[Path], None], bool]] = {
    "help": (measure_help, False),
    "up-local": (measure_up_local, False),
    "idle": (measure_idle, False),
    "compose": (measure_compose, True),
    "images": (measure_images, True),
    "rebuild": (measure_rebuild, True),
    "watch": (measure_watch, False),
    "alone": (measure_alone, False),
    "clone": (measure_clone, False),
}
"""Name -> what measures it, and whether it needs a container engine."""


def main(names: list[str]) -> None:
    """Measure these, or all, in one clone."""
    if unknown := set(names) - set(FIGURES):
        sys.exit(f"no such figure: {', '.join(unknown)}; there are {', '.join(FIGURES)}")
    with clone() as folder:
        run("make", "setup", cwd=folder)
        print("| what | target | measured | command |\n|---|---|---|---|", flush=True)
        for name in names or FIGURES:
            measure, containers = FIGURES[name]
            if containers and not engine():
                print(f"| {name} | | not measured: no container engine answers | |", flush=True)
            else:
                measure(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
