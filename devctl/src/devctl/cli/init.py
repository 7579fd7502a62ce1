"""devctl init"""

from __future__ import annotations

from devctl.cli import options
from devctl.cli.new import DryRunOption


def init(dry_run: DryRunOption = False, as_json: options.JsonOption = False) -> None:
    """Write what devctl found into the Compose file, as x-devctl.

    It is not needed: devctl finds the same each time. It fixes the answers, and is the place for what cannot be found;
    devctl doctor shows both. A block that is there stays as it is.

    \b
    Examples:
      devctl init --dry-run
      devctl init

    \b
    Exit codes: 0 done; 1 there is one already, or nothing was found
    """
    from devctl.new.extension import changes
    from devctl.ui import new as ui
    from devctl.ui.console import write_json

    workbench = options.open_workbench(None, None)
    made = changes(workbench.settings, workbench.found)
    files, diff = list(made), made.diff()
    if not dry_run:
        made.apply()
    steps = [("devctl doctor", "what is known now, and what is not")]
    if as_json:
        write_json(ui.document(files, diff, steps, dry_run=dry_run))
    else:
        ui.show(files, diff, steps, dry_run=dry_run)
