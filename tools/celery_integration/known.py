"""Tests that stock passes and ours does not, and why that is right."""

from __future__ import annotations

CELERY: dict[str, str] = {}
KOMBU: dict[str, str] = {}
