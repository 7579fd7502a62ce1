"""How a bench counts what workers have done: by their ledger, by Celery's task events, or by results."""
