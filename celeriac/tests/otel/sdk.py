"""OpenTelemetry's SDK, in a folder that tools/setup makes for these tests: whoever imports this has it on the path."""

import os
import sys
from pathlib import Path

import pytest

FOLDER = Path(sys.prefix) / "otel"
if not FOLDER.is_dir():
    pytest.skip(f"no OpenTelemetry SDK in {FOLDER}: make setup installs it", allow_module_level=True)
sys.path.append(str(FOLDER))

ENVIRONMENT = {"PYTHONPATH": os.pathsep.join(filter(None, (str(FOLDER), os.environ.get("PYTHONPATH"))))}
"""For processes that find it, too."""
