"""Celery apps, their settings and their tasks, read from the syntax tree of the code: nothing is imported."""
