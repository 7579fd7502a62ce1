"""devctl: the workbench that starts, feeds, measures and explains a stack of Celery services."""
