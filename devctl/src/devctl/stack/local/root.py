"""The files of a service's image, in a folder of this machine: copied as its recipe says, its volumes put over them."""

from __future__ import annotations

import glob
import os
import posixpath
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from devctl.errors import DevctlError
from devctl.stack import sources
from devctl.stack.local.recipe import Copy, Files, Recipe
from devctl.stack.model import Service

# Folders that a container has anyway: of them only what was put there is the image's own.
_EVERYWHERE = {
    *(
        "/bin",
        "/dev",
        "/etc",
        "/home",
        "/lib",
        "/media",
        "/mnt",
        "/opt",
        "/proc",
        "/root",
        "/run",
        "/sbin",
        "/srv",
        "/sys",
    ),
    *("/usr", "/usr/bin", "/usr/lib", "/usr/local", "/usr/local/bin", "/usr/local/etc", "/usr/local/lib", "/usr/sbin"),
    *("/usr/local/share", "/usr/share", "/usr/src", "/var", "/var/cache", "/var/lib", "/var/log", "/var/run"),
}
_EACH_PROCESS_S = "/tmp"  # noqa: S108  # of the container; here each replica has its own
_SCRIPT = re.compile(rb"#!\s*\S*(?:/env\s+)?\S*\b(?:ba|da|a|z)?sh\b")
_SCRIPT_AT_MOST = 100_000


@dataclass(frozen=True)
class Root:
    """The files of one service."""

    folder: Path
    volumes: Path
    """Where the named volumes of the stack are."""
    short: Path
    """The same folder by a name without blanks and quotes: what scripts say unquoted in a container, they say here."""

    def path(self, container: str, stage: str = "") -> Path:
        """Where a path of the container, or of another stage of its image, would be in here."""
        return self._of(stage) / container.lstrip("/")

    def _of(self, stage: str) -> Path:
        return self._stages / stage if stage else self.folder

    @property
    def _stages(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.stages")

    def make(self, recipe: Recipe) -> None:
        """Make it anew."""
        for folder in (self.folder, self._stages):
            shutil.rmtree(folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        ignore = sources.ignore_file(recipe.build) if recipe.build else None
        for step in recipe.steps:
            here = self._of(step.stage)
            here.mkdir(parents=True, exist_ok=True)
            if isinstance(step, Copy):
                origin = self._of(step.origin) if isinstance(step.origin, str) else step.origin
                _copy(step, here, origin, ignore if ignore and ignore.is_file() else None)
            elif isinstance(step, Files):
                _change(step, here)

    def mount(self, service: Service) -> None:
        """Put its volumes over the files: links, so that both sides see what is written."""
        for mount in sorted(service.mounts, key=lambda one: one.target):
            place = self.path(mount.target)
            if mount.kind == "bind":
                source = Path(mount.source)
            elif mount.kind == "volume" and mount.source:
                source = self.volumes / mount.source
                _begin(source, place)
            else:  # one without a name, or in memory: a folder of its own that goes with the service
                with suppress(OSError):
                    place.mkdir(parents=True, exist_ok=True)
                continue
            if _below_a_link(self.folder, place):
                continue
            if place.is_symlink() or place.is_file():
                place.unlink()
            elif place.is_dir():
                shutil.rmtree(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(source)

    def paths(self, recipe: Recipe) -> dict[str, str]:
        """Return each path of the container that is the image's own -> where it is here."""
        made = [step.words[-1] for step in recipe.steps if isinstance(step, Files) and step.words[0] == "mkdir"]
        found = {
            path: self._seen(path) for path in made if path not in ("/", _EACH_PROCESS_S) and self.path(path).is_dir()
        }
        return found | dict(self._paths("/"))

    def _paths(self, container: str) -> Iterator[tuple[str, str]]:
        for entry in sorted(os.scandir(self.path(container)), key=lambda one: one.name):
            path = f"{container.rstrip('/')}/{entry.name}"
            if path in _EVERYWHERE and not entry.is_symlink() and entry.is_dir():
                yield from self._paths(path)
            elif path != _EACH_PROCESS_S:
                yield path, self._seen(path)

    def _seen(self, container: str) -> str:
        return str(self.short / container.lstrip("/"))

    def scripts(self) -> dict[str, Path]:
        """Return the shell scripts among its files that were put there by name: `/entrypoint.sh`, `/app/bin/start`."""
        found = {}
        for folder, folders, names in os.walk(self.folder):
            inside = Path(folder).relative_to(self.folder)
            if len(inside.parts) > 4:
                folders.clear()
            for name in names:
                path = Path(folder, name)
                if is_script(path):
                    found["/" + str(inside / name).removeprefix("./")] = path
        return found


def is_script(path: Path) -> bool:
    """Whether a shell runs it."""
    if path.suffix not in ("", ".sh", ".bash"):
        return False
    try:
        with path.open("rb") as file:
            return bool(_SCRIPT.match(file.readline(200))) and path.stat().st_size < _SCRIPT_AT_MOST
    except OSError:
        return False


def _below_a_link(root: Path, place: Path) -> bool:
    """Whether it lies in what is mounted already: a folder of the checkout, which stays as it is."""
    return any(parent.is_symlink() for parent in place.parents if root in parent.parents)


def _begin(volume: Path, image: Path) -> None:
    """A new volume begins with what the image has there."""
    if volume.is_dir():
        return
    volume.parent.mkdir(parents=True, exist_ok=True)
    if image.is_dir() and not image.is_symlink():
        shutil.copytree(image, volume, symlinks=True)
    else:
        volume.mkdir()


def _copy(step: Copy, root: Path, origin: Path, ignore: Path | None) -> None:
    target = root / step.target.lstrip("/")
    if step.text is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(step.text, encoding="utf-8")
        return
    for pattern in step.sources:
        inside = os.path.normpath(pattern.lstrip("/") or ".")
        found = sorted(origin.glob(inside)) if glob.has_magic(inside) else [origin / inside]
        there = [one for one in found if os.path.lexists(one)]
        if not there and step.context and not glob.has_magic(inside):
            raise DevctlError(
                f"{step.where}: COPY {pattern}: {origin / inside} is not there",
                hint="the image could not be built either; make the file, or correct the Dockerfile",
            )
        for source in there:  # of a stage, what is not there was installed, and is in the environment
            into = target / source.name if not source.is_dir() and _folder(step, target) else target
            if step.context:
                _copy_sent(source, into, origin, ignore)
            else:
                _copy_all(source, into)


def _folder(step: Copy, target: Path) -> bool:
    return step.target.endswith(("/", "/.")) or target.is_dir()


def _copy_sent(source: Path, target: Path, context: Path, ignore: Path | None) -> None:
    """Copy what a builder would be sent: not what .dockerignore names, and not devctl's own folder."""
    if not source.is_dir():
        _copy_one(source, target)
        return
    target.mkdir(parents=True, exist_ok=True)
    for path in sources.files(context, ignore_file=ignore, ignored=(".devctl",)):
        if source in path.parents:
            _copy_one(path, target / path.relative_to(source))


def _copy_all(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    else:
        _copy_one(source, target)


def _copy_one(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink() and source.is_dir():
        with suppress(FileExistsError):
            target.symlink_to(source.resolve())
        return
    with suppress(FileNotFoundError):  # gone meanwhile, or a link to nothing
        shutil.copy2(source, target)


def _change(step: Files, root: Path) -> None:
    """Do what mkdir, chmod, sed -i and so on do, with the paths of the container in this folder; never outside it."""
    name, *words = step.words
    if name == "sed" and not any(word.startswith(("-i", "--in-place")) for word in words):
        return
    expressions = 1 if name == "chmod" or (name == "sed" and "-e" not in words) else 0
    mapped: list[str] = []
    taken = False
    for word in words:
        if word.startswith("-") and word != "-":
            mapped.append(word)
            taken = word in ("-e", "-m", "-g", "-o")
        elif taken or expressions:
            expressions, taken = expressions - (not taken), False
            mapped.append(word)
        else:
            mapped += _mapped(word, root, step.folder)
    paths = [word for word in mapped if word.startswith(str(root))]
    if name in ("chmod", "sed", "rm", "mv", "rmdir") and not any(os.path.lexists(path) for path in paths):
        return  # of the system, not of the image's own files
    if name == "sed" and r"s/\r" in "".join(mapped):
        for path in filter(os.path.isfile, paths):
            Path(path).write_bytes(Path(path).read_bytes().replace(b"\r\n", b"\n"))
        return
    if name in ("cp", "mv", "ln", "install", "touch"):
        Path(paths[-1]).parent.mkdir(parents=True, exist_ok=True) if paths else None
    done = subprocess.run([name, *mapped], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode and name not in ("rm", "rmdir", "chmod", "ln"):
        raise DevctlError(
            f"{step.where}: {' '.join(step.words)}: {done.stderr.strip().replace(str(root), '')}",
            hint="the image might not be built either; or use containers: --runtime compose",
        )


def _mapped(word: str, root: Path, folder: str) -> list[str]:
    """Return where a path of the container is here; several where it is a pattern."""
    inside = posixpath.normpath(posixpath.join("/", folder, re.sub(r"^~(?=/|$)", "/root", word))).lstrip("/")
    found = sorted(map(str, root.glob(inside))) if glob.has_magic(inside) else []
    return found or [str(root / inside)]
