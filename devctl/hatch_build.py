"""Packs what `devctl new project` writes into the wheel: this repository's own files, so that they cannot drift."""

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = ("celeriac/src/", "devctl/src/")  # an installed devctl has both beside itself


class Project(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # a checkout reads them from its root
            return
        root = Path(self.root).parent
        parts = runpy.run_path(str(Path(self.root) / "src/devctl/new/parts.py"))
        for file in parts["files"](root):
            if not file.as_posix().startswith(SOURCES):
                build_data["force_include"][str(root / file)] = f"devctl/new/project_files/{file.as_posix()}"
