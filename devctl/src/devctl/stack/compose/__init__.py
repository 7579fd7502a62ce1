"""The stack in containers, through Docker Compose."""

from devctl.stack.compose.runtime import ComposeRuntime

__all__ = ["ComposeRuntime"]
