"""The composition root: the one place that picks adapters. Heavy libraries are imported here, when first used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from devctl.errors import DevctlError
from devctl.settings import Settings

if TYPE_CHECKING:
    from devctl.broker.plain import App
    from devctl.broker.port import Broker
    from devctl.contracts.catalog import Catalog
    from devctl.contracts.port import Tasks
    from devctl.dash.sources import Sources
    from devctl.discovery.code.services import Codes
    from devctl.discovery.model import Found
    from devctl.stack.document import Document
    from devctl.stack.file import Unset
    from devctl.stack.model import Stack
    from devctl.stack.port import Runtime


class Workbench:
    """What a command works with: one settings object, and adapters made on demand."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def stack(self) -> Stack:
        """The stack as the Compose file describes it, and what was found of it where `x-devctl` does not say it."""
        stack = self._loaded[0]
        if stack.broker and stack.workers:
            return stack
        from devctl.discovery.completion import completed

        return completed(stack, self.found)

    @cached_property
    def found(self) -> Found:
        """What each service is for, which is the broker, and what says so; nothing is run for it."""
        from devctl.discovery.app_settings import reader
        from devctl.discovery.engine_images import inspect
        from devctl.discovery.roles import find

        return find(
            self._loaded[0],
            self.settings.compose_file.name,
            self.settings.root,
            inspect=inspect(self.settings.environment),
            settings=reader(self.settings.root),
            written=self._written,
        )

    def _written(self, service: str, key: str) -> str:
        """The Compose file that says this of a service, the last of several."""
        names = [one.file.name for one in self._documents if ("services", service, key) in one.lines]
        return names[-1] if names else self.settings.compose_file.name

    @cached_property
    def _documents(self) -> tuple[Document, ...]:
        from devctl.stack.file import outline

        return outline(self.settings).documents

    @property
    def unset(self) -> list[Unset]:
        """The variables of the Compose file that nobody set."""
        return self._loaded[1]

    @cached_property
    def _loaded(self) -> tuple[Stack, list[Unset]]:
        from devctl.stack.file import load

        return load(self.settings)

    @cached_property
    def runtime_choice(self) -> tuple[str, str]:
        """Runtime name and why: ("local", "no container engine answers; --runtime compose to insist")."""
        from devctl.stack.choice import choose

        return choose(self.settings)

    @cached_property
    def runtime(self) -> Runtime:
        """The chosen runtime over the stack of the Compose file."""
        return self._runtime(self.runtime_choice[0])

    def refuse_two_runtimes(self) -> None:
        """DevctlError where this stack runs on the other runtime: it would be there twice, and commands see one."""
        from devctl.stack import identity

        last = identity.last_runtime(self.settings)
        if last in ("", self.runtime_choice[0]):
            return
        try:
            running = dict.fromkeys(one.service for one in self._runtime(last).status() if one.state == "running")
        except DevctlError:  # it cannot be asked: an engine that was there and is gone
            return
        if running:
            raise DevctlError(
                f"this stack runs on the {last} runtime: {', '.join(running)}",
                hint=f"end it there first: devctl down --runtime {last}{self.settings.option}\n"
                f"or start a second one beside it: devctl up --isolated --runtime {self.runtime_choice[0]}",
            )

    def _runtime(self, name: str) -> Runtime:
        if name == "compose":
            from devctl.stack.compose import ComposeRuntime

            return ComposeRuntime(self.settings, self.stack)
        from devctl.stack.local import LocalRuntime

        return LocalRuntime(self.settings, self.stack)

    @cached_property
    def broker(self) -> Broker:
        """The broker of the running stack."""
        return self.connect()

    def connect(self) -> Broker:
        """A new connection to it, at its address on this machine now: as celeriac, or as stock Celery has it."""
        from devctl.broker import address

        url, service = self._broker_url, self._service_of(self._broker_url)
        here = self._from_here(url)
        if url.startswith(("amqp", "pyamqp", "librabbitmq")):
            from devctl.broker.amqp import AmqpBroker

            return AmqpBroker(here, self._app, self._management(service))
        # Contracts are celeriac's; the code that says so may be elsewhere.
        if not self.stack.contracts and not any(one.celeriac for one in self.found.services.values()):
            from devctl.broker.stock import StockBroker

            return StockBroker(here, self._app)
        from devctl.broker.ours import CeleriacBroker

        told = self.stack.setting("CELERY_RESULT_BACKEND")
        return CeleriacBroker(
            here,
            results_url=self._from_here(told) if told else here,
            service=service,
            dead_bound=address.dead_bound(self.stack),
            queue_bound=address.queue_bound(self.stack),
            life_length=address.life_length(self.stack),
        )

    @cached_property
    def _app(self) -> App:
        """What the files say of the app of the workers."""
        from devctl.broker.plain import App

        return App(
            self.found.result_url.value or "",
            self._app_setting("broker_transport_options"),
            self._app_setting("result_backend_transport_options"),
            self._service_of(self._broker_url),
            self._from_here,
        )

    def _app_setting(self, name: str) -> Mapping[str, object]:
        """A table among the settings of the first worker whose code says it."""
        codes = (self.codes.of(worker) for worker in self.found.having("worker"))
        said = (code.app.settings.get(name) for code in codes if code is not None and code.app is not None)
        return next((one.value for one in said if one is not None and isinstance(one.value, Mapping)), {})

    @property
    def outside(self) -> str:
        """Where the broker is, if it is no service of this stack: nothing is measured there."""
        url = self._broker_url
        return "" if self._service_of(url) else urlsplit(url).netloc.rpartition("@")[2] or url.partition("://")[0]

    @cached_property
    def _broker_url(self) -> str:
        """As the services have it."""
        from devctl.discovery.addresses import kind

        if told := self.found.broker_url.value:
            if kind(told) not in ("redis", "rabbitmq"):
                raise DevctlError(
                    f"the broker of the workers is {told.partition(':')[0]}, and devctl speaks to Redis and RabbitMQ",
                    details=[f"{self.found.broker_url.source} says so"],
                    hint="devctl up, ps, logs and doctor work without it",
                )
            return told
        if not self.stack.broker:
            raise DevctlError(
                "no service of the Compose file is a broker that could be asked",
                details=[self.found.broker.source, self.found.broker_url.source],
                hint="devctl doctor shows what was found; x-devctl: {broker: SERVICE} in the Compose file names it",
            )
        from devctl.broker.address import usual

        service = self.stack.services[self.stack.broker]
        return usual(service.name, self.stack.broker_port, service.image, service.environment, service.command)

    def _service_of(self, url: str) -> str:
        from devctl.discovery.addresses import service

        return service(url, self.stack.services)

    def _from_here(self, url: str) -> str:
        from devctl.broker.address import from_here

        return from_here(url, self._service_of, self.runtime.address)

    def _management(self, service: str) -> tuple[str, int] | None:
        """Where the management API of this RabbitMQ is, if anywhere."""
        from devctl.broker.management import PORT

        try:
            return self.runtime.address(service, PORT) if service else None
        except DevctlError:
            return None

    @cached_property
    def codes(self) -> Codes:
        """What the code of each service says of Celery, read and not imported."""
        from devctl.discovery.code.services import Codes

        return Codes(self.found, self.settings.root)

    @cached_property
    def tasks(self) -> Tasks:
        """The tasks that can be sent: by the contracts that the Compose file names, else by their signatures."""
        if self.stack.contracts:
            return self.catalog
        from devctl.contracts.signatures import Signatures

        return Signatures(self.codes.tasks())

    @cached_property
    def owners(self) -> Mapping[str, str]:
        """Queue -> the service that consumes it, by the files alone."""
        if self.stack.contracts:
            from devctl.contracts.owners import owners

            return owners(self.catalog, self.stack)
        return self.codes.consumers()

    @cached_property
    def dashboard(self) -> Sources:
        """What the dashboard reads from and acts on."""
        from devctl.dash.sources import Sources
        from devctl.logs import own

        def names() -> list[str]:
            return list(dict.fromkeys([*(one.queue for one in self.tasks if one.queue), *self.owners]))

        return Sources(
            self.stack,
            self.runtime,
            self.connect,
            lambda: self.tasks,
            names,
            lambda: self.owners,
            lambda: {name: one.roles[0] for name, one in self.found.services.items() if one.roles},
            self.settings.stack,
            self.settings.option,
            prepare=self.refuse_two_runtimes,
            note=lambda event, about: own.note(self.settings, event, [about]),
        )

    @cached_property
    def catalog(self) -> Catalog:
        """The task contracts that the Compose file names."""
        from devctl.contracts.catalog import Catalog

        return Catalog.load(self.stack.contracts)
