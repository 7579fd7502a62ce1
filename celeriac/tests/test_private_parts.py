"""The private parts of Celery, kombu, billiard and redis-py that celeriac leans on: where, and what breaks without
them. A new version that moves one fails here, by name, before it fails in a worker."""

import ast
import importlib
import inspect
import re
from importlib.metadata import requires, version
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

import celeriac

SOURCE = Path(celeriac.__file__).parent


class Part(NamedTuple):
    """`of`: a module, or `module:Class`, whose source names the part."""

    name: str
    of: str
    used_in: str
    breaks: str


KOMBU, CHANNEL = "kombu.transport.redis", "kombu.transport.redis:Channel"
PARTS = [
    # kombu: the loop around a claim
    Part("_in_poll", CHANNEL, "claim/transport.py", "a worker reads no answer to its claims, or two at once"),
    Part("_brpop_start", CHANNEL, "claim/transport.py", "kombu pops messages by itself: a dead worker loses them"),
    Part("_brpop_read", CHANNEL, "claim/transport.py", "the answers to claims are never read"),
    Part("_brpop_sent_at", CHANNEL, "claim/transport.py", "kombu closes the connection of an idle worker"),
    Part("_queue_cycle", CHANNEL, "claim/transport.py", "a claim does not know the order of its queues"),
    Part("_q_for_pri", CHANNEL, "claim/transport.py", "priorities get into lists that nobody reads"),
    Part("_connparams", CHANNEL, "claim/transport.py", "no RESP3: idle workers are not woken"),
    Part("_on_connection_disconnect", CHANNEL, "claim/transport.py", "a claim waits for an answer that was lost"),
    Part("_create_client", CHANNEL, "claim/transport.py", "a client is made for each message that Celery publishes"),
    Part("_put", CHANNEL, "claim/transport.py", "what a task publishes is no part of its outcome"),
    Part("_get", CHANNEL, "claim/transport.py", "a body that reads a queue does not see what it has sent"),
    Part("_has_queue", CHANNEL, "claim/transport.py", "the same"),
    Part("_purge", CHANNEL, "claim/transport.py", "a purge leaves the notes of publish once"),
    Part("_delete", CHANNEL, "claim/transport.py", "the same, when a queue is deleted"),
    Part("_get_pool", CHANNEL, "run/intake.py, broker/client.py", "outcomes have no connections"),
    Part("_channels", "kombu.transport.redis:MultiChannelPoller", "claim/transport.py", "outcomes are not flushed"),
    Part("on_poll_start", "kombu.transport.redis:MultiChannelPoller", "claim/transport.py", "the same"),
    Part("_deliver", "kombu.transport.virtual.base:Transport", "run/intake.py", "nothing goes Celery's own way"),
    Part("_get_message_priority", "kombu.transport.virtual.base", "claim/transport.py", "priorities are lost"),
    Part("_info", "kombu.connection:Connection", "app/connection.py", "publishers have no pool of connections"),
    Part("PooledConnection", "kombu.connection", "app/connection.py", "the same"),
    Part("switch", "kombu.connection:Connection", "app/connection.py", "after a failover messages are not claimed"),
    Part("_pop_ready", "kombu.asynchronous.hub:Hub", "run/pool.py", "a stop leaves acknowledgements behind"),
    # Celery: apps and their settings
    Part("_get_backend", "celery.app.base:Celery", "app/installation.py", "results are stored outside the outcome"),
    Part("_pool", "celery.app.base:Celery", "app/installation.py", "connections of before go on without us"),
    Part("_local", "celery.app.base:Celery", "app/installation.py", "result backends of before go on without us"),
    Part("_backend_cache", "celery.app.base:Celery", "app/installation.py", "the same"),
    Part("_producer_pool", "celery.app.amqp:AMQP", "app/installation.py", "publishers of before go on without us"),
    Part("_tasks", "celery.app.base:Celery", "app/installation.py", "tasks bound before the line run at most once"),
    Part("__bound__", "celery.app.task:Task", "app/installation.py", "an acks_late=False of a task's own is not seen"),
    Part("__reduce_keys__", "celery.app.base:Celery", "app/installation.py", "no pool can be spawned"),
    Part("_get_current_object", "celery.local:Proxy", "app/installation.py", "install(current_app) installs nothing"),
    Part("_pending_defaults", "celery.app.base:Celery", "app/client.py (add_defaults)", "make_app has no settings"),
    Part("maps", "celery.utils.collections:ChainMap", "app/installation.py", "the forced settings do not count"),
    Part("find_app", "celery.bin.celery", "cli.py", "`celeriac worker` runs stock Celery"),
    Part("detach", "celery.bin.worker", "cli.py", "`celeriac worker -D` runs stock Celery in the background"),
    # Celery: the worker
    Part("_custom_logging", "celery.apps.worker:Worker", "worker/program.py", "log lines without their fields"),
    Part("update_strategies", "celery.worker.consumer.consumer:Consumer", "run/consumer.py", "no task is ours"),
    Part("_task_stack", "celery._state", "run/runner.py, contract/messages.py", "current_task is None in bodies"),
    Part("_local", "celery.utils.threads", "run/runner.py", "request stacks are not found: no runner can run"),
    Part("handle_error_state", "celery.app.trace:TraceInfo", "run/runner.py", "failures are not told"),
    Part("handle_reject", "celery.app.trace:TraceInfo", "run/runner.py", "tracers that libraries wrap are not seen"),
    Part("ExceptionInfo", "celery.app.trace", "run/pool.py, run/ends.py", "failures have no traceback"),
    Part("_request_dict", "celery.worker.request:Request", "run/strategy.py", "request.eta of what waited is lost"),
    Part("_context", "celery.worker.request:Request", "run/pool.py", "errbacks of a failed tracer are not called"),
    Part("_get_info", "celery.concurrency.base:BasePool", "run/pool.py", "inspect stats shows no threads"),
    Part("_data", "celery.utils.collections:LimitedSet", "claim/revocations.py", "revocations are not found"),
    Part("_pool", "celery.concurrency.prefork:TaskPool", "run/celery_pool.py", "jobs of prefork are forgotten"),
    # Results of Celery's
    Part("_get_result_meta", "celery.backends.base:Backend", "outcome/results.py", "results cannot be written"),
    Part("_store_result", "celery.backends.base:BaseKeyValueStoreBackend", "outcome/results.py", "they are twice"),
    # billiard
    Part("_cache", "billiard.pool:Pool", "run/celery_pool.py", "a lost connection forgets the jobs of prefork"),
    Part("_write_to", "billiard.pool:ApplyResult", "run/celery_pool.py", "the same"),
    Part("_accepted", "billiard.pool:ApplyResult", "run/celery_pool.py", "the same"),
    # redis-py
    Part("_sock", "redis.connection:AbstractConnection", "claim/claims.py", "idle workers are not woken"),
]


def named(part: Part) -> bool:
    module, _, kind = part.of.partition(":")
    found = importlib.import_module(module)
    owner = getattr(found, kind) if kind else found
    return hasattr(owner, part.name) or bool(re.search(rf"\b{part.name}\b", inspect.getsource(found)))


@pytest.mark.parametrize("part", PARTS, ids=[f"{part.of}.{part.name}" for part in PARTS])
def test_each_private_part_is_where_we_look_for_it(part: Part) -> None:
    library = part.of.partition(".")[0]
    assert named(part), (
        f"{library} {version(library)} has no {part.name} in {part.of}. celeriac/{part.used_in} needs it; "
        f"without it: {part.breaks}"
    )


def test_a_part_that_is_gone_would_be_missed() -> None:
    assert not named(Part("_no_such_part", CHANNEL, "", ""))


def test_the_context_of_a_task_can_be_a_dictionary_of_headers() -> None:
    """run/runner.py puts a message's headers in the place of its attributes: it must not have slots, nor an __init__
    that matters."""
    from celery.app.task import Context

    context = Context.__new__(Context)
    context.__dict__ = {"id": "x", "retries": 3}
    assert ("x", 3, None) == (context.id, context.retries, context.group)


def test_every_private_part_in_the_source_is_in_the_list() -> None:
    known = {part.name for part in PARTS}
    missing = {f"{path.relative_to(SOURCE)}: {name}" for path in SOURCE.rglob("*.py") for name in private(path) - known}
    assert not missing, f"name these in {Path(__file__).name}, with what breaks without them: {sorted(missing)}"


def private(path: Path) -> set[str]:
    """Foreign private names in this file: of other objects than self, and what `super()` is asked for."""
    text = path.read_text()
    lines = text.splitlines()
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                continue
            of_super = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "super"
            if of_super or "noqa: SLF001" in lines[node.lineno - 1]:
                found.add(node.attr)
    return found


def test_the_bounds_are_the_versions_that_these_parts_were_seen_in() -> None:
    bounds = {one.name: one.specifier for one in map(Requirement, requires("celeriac") or []) if not one.marker}
    for library in ("celery", "kombu"):
        assert "<" in str(bounds[library]), f"{library} needs an upper bound: its private parts move"
        assert version(library) in bounds[library]
