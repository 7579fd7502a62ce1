"""celeriac.http is an extra."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("missing", ["fastapi", "uvicorn", "prometheus_client"])
def test_without_the_extra_the_error_says_what_to_install(missing: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; import celeriac; celeriac.Contract; import celeriac.http"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert 1 == done.returncode
    last = done.stderr.splitlines()[-1]
    assert f"ImportError: celeriac.http needs {missing}: pip install 'celeriac[http]'" == last
