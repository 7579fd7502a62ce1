"""devctl build"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from devctl.cli import options


def build(
    services: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SERVICE]…",
            help="Only these services (default: all that have a build).",
            autocompletion=options.complete_services,
        ),
    ] = None,
    runtime: options.RuntimeOption = None,
    stack: options.StackOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Build the images of services. Layers that did not change come from the cache.

    `devctl up` does this by itself where it is needed. The local runtime makes the Python environment that a
    Dockerfile describes; where the services run in devctl's own, it has nothing to build.

    \b
    Examples:
      devctl build
      devctl build worker
      PYTHON_IMAGE=python:3.13-slim devctl build

    \b
    Exit codes: 0 built, 1 failed, with the lines that say why, 2 usage,
    130 Ctrl-C
    """
    from devctl.stack.report import Built, ignore
    from devctl.stack.start import build_images
    from devctl.ui.console import write_json
    from devctl.ui.progress import Progress
    from devctl.ui.services import show_built

    workbench = options.open_workbench(runtime, stack)
    known = workbench.stack.services
    asked = workbench.stack.resolve(services or ())
    options.announce(workbench, as_json=as_json)
    for refusal in filter(None, map(workbench.runtime.refusal, asked)):
        raise refusal
    names = workbench.runtime.buildable([name for name in known if name in (asked or workbench.stack.enabled)])
    if as_json:
        built, seconds = build_images(workbench.runtime, names, ignore)
    else:
        with Progress(names) as show:  # that it is done is the result, on stdout
            built, seconds = build_images(
                workbench.runtime, names, lambda event: None if isinstance(event, Built) else show(event)
            )
    if as_json:
        write_json(
            {
                "schema": "devctl.build/1",
                "runtime": workbench.runtime.name,
                "services": list(built),
                "seconds": round(seconds, 3),
            }
        )
        return
    local = workbench.runtime.name == "local"
    if local and not names:
        sys.stderr.write("nothing to build: the local runtime runs the sources\n")
    elif without := [name for name in asked if name not in names]:
        why = "it runs as it is" if local else "the image is pulled"
        sys.stderr.write(f"nothing to build for {', '.join(without)}: {why}\n")
    if built:
        show_built(built, seconds, sys.stdout)
