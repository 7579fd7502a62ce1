"""Celery's own integration tests, against stock and against a plain app with the line `celeriac.install(app)`:

    python tools/celery_integration PATH_TO_CELERY
    python tools/celery_integration PATH_TO_CELERY --pool plain -k chord
    python tools/celery_integration --kombu PATH_TO_KOMBU

PATH: a checkout of Celery's (kombu's) repository, or its unpacked source distribution. Only the tests are taken from
there; Celery and kombu are the installed ones, so take the tests of that version. The worker runs in the tests'
process, as Celery has it, with one thread or child. A test that hangs or ends its process is told as such, and the
rest goes on in a new process with an empty Redis; so it does after a test that failed, and at the end that test runs
once more, alone: what passes then was in the way of another one, or of the clock. All of it takes half an hour for each
pool. Exit 1 where stock passes and ours does not, unless known.py has a reason.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import environment
import known
from runs import report
from stage import KINDS, Stage

USUAL = "stock,plain,plain-prefork"
CELERY, KOMBU = "t/integration", "t/unit/transport/test_redis.py"


def main() -> int:
    asked = arguments()
    checkout, tests = asked.checkout.resolve(), KOMBU if asked.kombu else CELERY
    if not (checkout / tests).exists():
        raise SystemExit(f"celery_integration: no {tests} in {checkout}: give the folder of a checkout")
    python = environment.python()
    print(f"celery_integration: {tests} of {revision(checkout)}; {versions(python)}", file=sys.stderr)
    words = ["-k", asked.expression] if asked.expression else []
    with tempfile.TemporaryDirectory(prefix="celery-integration-") as scratch:
        stage = Stage(python, checkout, tests, Path(scratch), asked.output and asked.output.resolve(), words)
        stage.seconds, stage.reruns = asked.seconds, asked.reruns
        runs = [stage.run(name, None if asked.kombu else KINDS[name]) for name in asked.kinds]
    if asked.json:
        asked.json.write_text(json.dumps({run.name: {k: vars(v) for k, v in run.found.items()} for run in runs}))
    return report(runs, known.KOMBU if asked.kombu else known.CELERY)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="celery_integration", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("checkout", type=Path, help="a checkout of Celery's repository")
    parser.add_argument("--kombu", action="store_true", help="of kombu's: its tests of the Redis transport")
    parser.add_argument("--pool", default=USUAL, help=f"of {', '.join(KINDS)}, with commas between; default: {USUAL}")
    parser.add_argument("-k", dest="expression", default="", help="only tests that match, as pytest has it")
    parser.add_argument("--seconds", type=float, default=180.0, help="for one test (180)")
    parser.add_argument("--reruns", type=int, default=1, help="of a test that Celery marks as flaky (1)")
    parser.add_argument("--output", type=Path, help="a folder for what pytest and the workers print")
    parser.add_argument("--json", type=Path, help="a file for what became of each test")
    asked = parser.parse_args()
    asked.kinds = ["stock", "ours"] if asked.kombu else asked.pool.split(",")
    if not asked.kombu and (unknown := set(asked.kinds) - KINDS.keys()):
        parser.error(f"no pool {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    return asked


def revision(checkout: Path) -> str:
    """Of a checkout; the name of any other folder."""
    if not (checkout / ".git").exists():
        return checkout.name
    git = ["git", "-C", str(checkout), "log", "-1", "--format=%h of %as"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or checkout.name


def versions(python: Path) -> str:
    """What they meet."""
    names = "celery", "kombu", "redis"
    code = f"from importlib.metadata import version; print(*(f'{{n}} {{version(n)}}' for n in {names}), sep=', ')"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
