"""devctl demo"""

from __future__ import annotations

from typing import Annotated

import typer

from devctl.cli import options
from devctl.errors import Interrupted
from devctl.workbench import Workbench


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the demo's stack running.")] = False,
    runtime: options.RuntimeOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Show the main job: start all, follow one task, bench, stop.

    It plays the example that `devctl new project DIR` makes, and what is laid out like it; elsewhere it says what to
    use instead.

    It sends the request that the Compose file names (x-devctl: demo:); without one, a sample of the first contract.
    The demo has a stack of its own (--stack demo), on free ports where the usual ones are taken.

    \b
    Examples:
      devctl demo
      devctl demo --runtime compose        the same story in containers
      devctl demo --keep                   then: devctl ps --stack demo

    \b
    Exit codes: 0 done, 1 a step failed, 3 timed out, 4 a service crashed,
    130 Ctrl-C; whatever happens, what was started is stopped
    """
    from devctl.demo import stage
    from devctl.demo.events import ignore
    from devctl.demo.run import Ports, run, staged
    from devctl.ui.console import write_json
    from devctl.ui.demo import Story, document

    stage.require_example(options.open_workbench(runtime, "").stack)
    workbench = options.open_workbench(runtime, stage.NAME)
    options.announce(workbench, as_json=as_json)
    story = None if as_json else Story()
    try:
        with staged(workbench, Workbench, story or ignore, keep=keep) as guard:
            report = run(Ports.of(workbench, guard), story or ignore)
    except KeyboardInterrupt:
        if keep:
            hint = f"devctl down --stack {stage.NAME}"
            raise Interrupted("interrupted: what was started before keeps running", hint=hint) from None
        raise Interrupted("interrupted: the demo's stack is stopped and removed") from None
    finally:
        if story:
            story.end()
    if story:
        story.next_steps(workbench.stack, kept=keep)
    else:
        write_json(document(report, workbench.runtime.name, kept=keep))
