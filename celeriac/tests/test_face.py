"""What a user may import: `from celeriac import …`, and what that costs."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import celeriac

SOURCE = Path(celeriac.__file__).read_text()
ROOT = Path(__file__).parents[2]
HEAVY = ("celery", "kombu", "redis", "pydantic", "structlog", "asyncio", "logging", "inspect")
MOST_SECONDS = 0.03  # of CPU: whatever else the machine does


def fresh(program: str) -> str:
    """What it prints in a Python that has imported nothing yet."""
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


def test_importing_it_is_quick_and_loads_no_library() -> None:
    program = (
        "import json, sys, time; begun = time.process_time(); import celeriac; took = time.process_time() - begun;"
        f"print(json.dumps([took, [name for name in {HEAVY!r} if name in sys.modules]]))"
    )
    runs = [json.loads(fresh(program)) for _ in range(5)]
    assert [[]] * 5 == [loaded for _, loaded in runs]
    assert min(took for took, _ in runs) < MOST_SECONDS


@pytest.mark.parametrize("name", celeriac.__all__)
def test_each_public_name_is_there_and_says_what_it_is(name: str) -> None:
    found = getattr(celeriac, name)
    assert name in ("__version__", "CLASSIFICATION") or found.__doc__


def test_the_type_checker_sees_the_same_names() -> None:
    (block,) = (
        one for one in ast.parse(SOURCE).body if isinstance(one, ast.If) and ast.unparse(one.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.asname or alias.name: (imported.module, alias.name)
        for imported in block.body
        if isinstance(imported, ast.ImportFrom)
        for alias in imported.names
    }
    homes = {
        name: (f"celeriac.{home.partition(':')[0]}", home.partition(":")[2] or name)
        for name, home in celeriac._HOMES.items()
    }
    assert seen == homes
    assert {*celeriac.__all__} == {*seen, "__version__"}


def test_the_page_of_reference_is_what_the_docstrings_say() -> None:
    written = subprocess.run(
        [sys.executable, ROOT / "tools" / "reference.py", "--print"], check=True, capture_output=True, text=True
    ).stdout
    assert written == (ROOT / "docs" / "reference.md").read_text(), "stale: make reference"


def test_the_code_of_the_readme_runs() -> None:
    blocks = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "celeriac" / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert "celeriac." in fresh(
        f"{blocks[0]}\nprint(app.conf.broker_transport)"
    )  # apart: the app becomes the process's
    contract: dict[str, Any] = {"__name__": "readme"}
    exec(blocks[1], contract)
    order = contract["Refund"](source_service="test", customer_id="c-1", cents=700)
    outcome = celeriac.Outcome(order.task_id)
    assert f"receipt {order.task_id}" == contract["handle_refund"](order, outcome).receipt
    assert [("HINCRBY", "refunds", "c-1", 700)] == outcome.effects


def test_every_error_of_the_tree_is_public() -> None:
    from celeriac import errors

    named = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    assert set() == named - {*celeriac.__all__}


def test_another_name_is_an_attribute_error_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'celeriac' has no attribute 'Lane'"):
        _ = celeriac.Lane


def test_a_star_import_and_dir_give_the_public_names() -> None:
    program = "from celeriac import *; import celeriac; print(sorted(set(dir(celeriac)) - set(globals())))"
    assert "[]\n" == fresh(program)
