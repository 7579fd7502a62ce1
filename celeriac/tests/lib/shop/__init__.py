"""Contracts of a small shop, for tests: pytest has this folder on its path, and who starts a process gives it along."""

from pathlib import Path

PATH = str(Path(__file__).parents[1])
"""What `PYTHONPATH` needs, so that another process can `import shop`."""
