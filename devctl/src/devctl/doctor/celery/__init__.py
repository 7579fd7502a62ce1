"""Somebody's Celery settings, commands and code: what of it loses work, doubles it, or waits for nothing."""
