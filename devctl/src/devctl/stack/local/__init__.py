"""The local runtime: the services of the Compose file as processes of this machine, under supervisor."""

from devctl.stack.local.runtime import LocalRuntime

__all__ = ["LocalRuntime"]
