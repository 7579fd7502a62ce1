"""A command whose output is read while it runs, and which never outlives its reader."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

_ANSI = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")  # Compose 2.26 writes \x1b[2K into piped logs, whatever the flags
_PATIENCE_SECONDS = 2.0  # between asking and killing


@contextmanager
def following(
    command: Sequence[str],
    failed: Callable[[int], None] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Iterator[str]]:
    """Run a command and yield its lines, stdout and stderr together; leaving the context ends it and its children.

    python-on-whales' own streams leave `docker compose` running after their reader is gone, hence this one.
    `failed` hears of an exit code other than 0, where the output was read to its end.
    """
    with subprocess.Popen(
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,  # a group of its own: docker and its plugin are ended together
    ) as process:
        try:
            yield _lines(process, failed)
        finally:
            _end(process)


def _lines(process: subprocess.Popen[bytes], failed: Callable[[int], None] | None) -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        yield _ANSI.sub(b"", line).decode(errors="replace").rstrip("\r\n")
    code = process.wait()
    if code and failed:
        failed(code)


def _end(process: subprocess.Popen[bytes]) -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            break
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sent)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_SECONDS)
