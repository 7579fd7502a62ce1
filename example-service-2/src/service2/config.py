"""What is this service's own. All other settings come from the environment: see .env.example."""

SERVICE = "service2"
HTTP_PORT = 8002  # of /health, /ready and /metrics, unless the environment says otherwise
