"""What is this service's own. All other settings come from the environment: see .env.example."""

SERVICE = "worker"
