"""What is this service's own. All other settings come from the environment: docs/settings.md."""

from uuid import UUID

SERVICE = "service1"
HTTP_PORT = 8001  # unless the environment says otherwise
ORDER_KEYS = UUID("5f2b6c1e-93a4-4d0b-8a57-2f6de0c41b98")  # the namespace of idempotency keys: never to be changed
