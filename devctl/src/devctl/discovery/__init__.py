"""What a repository says of its Celery services: read from its files, never imported, never guessed."""
