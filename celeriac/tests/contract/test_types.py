"""What the type checker says about the contracts; it is half of what they are for."""

import re
import subprocess
import sys
from pathlib import Path

import shop

SOURCES = f"{Path(__file__).parents[2] / 'src'}:{shop.PATH}"

SNIPPET = """
from celery import chain, chord, group
from celeriac.workbench.bench import bench_task
from celeriac.worker.app import make_worker
from celeriac.contract.implementation import implements
from celeriac.contract.outcome import Outcome
from shop.schemas import HealthResult, NotificationPayload, OrderPayload, OrderResult
from shop.tasks import health_check, process_order, send_notification


def right(order: OrderPayload, notification: NotificationPayload) -> None:
    reveal_type(process_order.delay(order).get())
    reveal_type(process_order.apply_async(order, countdown=1).get(timeout=5))
    reveal_type(health_check.delay().get())
    process_order.s(order)
    health_check.s()
    chain(process_order.s(order), send_notification.partial()).apply_async()
    group([process_order.s(order), process_order.s(order)]).apply_async()
    chord([process_order.s(order)], send_notification.partial()).apply_async()
    Outcome().publish(send_notification, notification)


@implements(process_order)
def handle(order: OrderPayload) -> OrderResult: ...


@implements(process_order)
def handle_with_outcome(order: OrderPayload, outcome: Outcome) -> OrderResult: ...


@implements(health_check)
def check(nothing: None) -> HealthResult: ...


make_worker("one", owns=[handle, handle_with_outcome, check, bench_task])


def wrong(order: OrderPayload, notification: NotificationPayload) -> None:
    process_order.delay({"customer_id": "c"})  # wrong: dict
    process_order.delay(notification)  # wrong: other payload
    process_order.delay()  # wrong: none
    process_order.s(notification)  # wrong: s
    chain(process_order.s(notification), send_notification.partial())  # wrong: first link
    send_notification.partial(notification)  # wrong: a later link has no payload of its own
    process_order.apply_async(notification)  # wrong: apply_async
    health_check.delay(order)  # wrong: takes none
    Outcome().publish(send_notification, order)  # wrong: child
    process_order.delay(order).get().colour  # wrong: result


@implements(process_order)  # wrong: payload of the handler
def other_payload(order: NotificationPayload) -> OrderResult: ...


@implements(process_order)  # wrong: result of the handler
def other_result(order: OrderPayload) -> HealthResult: ...


@implements(process_order)  # wrong: second argument
def other_outcome(order: OrderPayload, outcome: int) -> OrderResult: ...


make_worker("one", owns=[lambda order: None])  # wrong: not an implementation
"""


CONFIG = f"[mypy]\nstrict = true\nplugins = pydantic.mypy\nmypy_path = {SOURCES}\ndisable_error_code = empty-body\n"
CACHE = Path(__file__).parents[3] / ".mypy_cache" / "snippets"  # 20 s the first time, 2 s from then on
REVEALED = re.compile(r'Revealed type is "shop\.schemas\.(\w+)"')


def test_mypy_infers_the_result_and_rejects_a_wrong_payload_and_a_wrong_handler(tmp_path: Path) -> None:
    (tmp_path / "mypy.ini").write_text(CONFIG)
    (tmp_path / "snippet.py").write_text(SNIPPET)
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", str(CACHE), "snippet.py"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    lines = [line for line in said.stdout.splitlines() if line.startswith("snippet.py")]

    revealed = [match[1] for line in lines if (match := REVEALED.search(line))]
    assert ["OrderResult", "OrderResult", "HealthResult"] == revealed, said.stdout

    expected = {number for number, line in enumerate(SNIPPET.splitlines(), start=1) if "# wrong" in line}
    refused = {int(line.split(":")[1]) for line in lines if ": error:" in line}
    assert expected == refused, said.stdout
