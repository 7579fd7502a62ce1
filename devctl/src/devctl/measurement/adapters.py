"""What a measuring command works with; `devctl.workbench.Workbench` is it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devctl.broker.port import Broker
    from devctl.contracts.catalog import Catalog
    from devctl.contracts.port import Tasks
    from devctl.settings import Settings
    from devctl.stack.model import Stack
    from devctl.stack.port import Runtime


class Adapters(Protocol):
    """A stack's settings, and what reaches it; each made when it is first asked for."""

    @property
    def settings(self) -> Settings:
        """Where devctl stands."""

    @property
    def stack(self) -> Stack:
        """As the Compose file describes it."""

    @property
    def runtime_choice(self) -> tuple[str, str]:
        """The runtime's name, and why it is this one."""

    @property
    def runtime(self) -> Runtime:
        """The runtime over the stack."""

    @property
    def outside(self) -> str:
        """Where the broker is, if it is no service of this stack: somebody else may live on it."""

    @property
    def broker(self) -> Broker:
        """The broker of the running stack."""

    @property
    def catalog(self) -> Catalog:
        """The contracts that the Compose file names."""

    @property
    def tasks(self) -> Tasks:
        """The tasks that can be sent: contracts, or signatures."""

    @property
    def owners(self) -> Mapping[str, str]:
        """Queue -> the service that consumes it, by the files alone."""
