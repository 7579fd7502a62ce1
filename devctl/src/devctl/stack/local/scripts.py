"""The shell scripts that a service starts with: copies, in which paths and addresses are this machine's."""

from __future__ import annotations

import posixpath
import shutil
from dataclasses import replace
from pathlib import Path

from devctl.stack.local.recipe import Recipe
from devctl.stack.local.rewrite import Rewrite
from devctl.stack.local.root import Root, is_script
from devctl.stack.model import Service


def written(service: Service, recipe: Recipe, root: Root, rewrite: Rewrite, folder: Path) -> Rewrite:
    """Write a copy of each script that says something of the container, and return the rules that lead there.

    What says nothing of it runs where it is. A script that runs another one that was copied is copied, too.
    """
    shutil.rmtree(folder, ignore_errors=True)
    texts = {
        path: file.read_text(encoding="utf-8", errors="surrogateescape")
        for path, file in _found(service, recipe, root).items()
    }
    copies: dict[str, str] = {}
    while True:
        rules = replace(rewrite, paths={**rewrite.paths, **copies})
        new = {path: str(folder / path.lstrip("/")) for path, text in texts.items() if rules.text(text) != text}
        if new == copies:
            break
        copies = new
    for path, target in copies.items():
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).write_text(rules.text(texts[path]), encoding="utf-8", errors="surrogateescape")
        Path(target).chmod(0o755)
    return rules


def _found(service: Service, recipe: Recipe, root: Root) -> dict[str, Path]:
    """The scripts of the image, and those of a mounted folder that its command names."""
    found = root.scripts()
    here = posixpath.join(recipe.folder, service.working_dir)
    for word in (*recipe.entrypoint, *recipe.command, *(service.entrypoint or ()), *(service.arguments or ())):
        for part in word.split():
            path = posixpath.normpath(posixpath.join(here, part.strip("'\";")))
            if "/" in part or part.endswith(".sh"):
                file = root.path(path)
                if file.is_file() and is_script(file):
                    found[path] = file
    return found
