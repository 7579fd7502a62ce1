"""The repositories that know nothing of devctl."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def repositories() -> Path:
    return Path(__file__).parents[2] / "repositories"
