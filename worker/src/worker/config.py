"""What is this service's own. All other settings come from the environment: docs/settings.md."""

SERVICE = "worker"
