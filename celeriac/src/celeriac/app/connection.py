"""A connection of an app that is ours."""

import kombu


class Connection(kombu.Connection):
    """kombu's. Of several addresses (brokers, or sentinels) kombu takes the next one when one is away, and there it
    would take its own transport, by the scheme of the URL: with it, messages would be popped and not claimed."""

    def switch(self, conn_str: str) -> None:
        """Go on with this address."""
        ours = self.transport_cls
        super().switch(conn_str)
        self.transport_cls = ours
