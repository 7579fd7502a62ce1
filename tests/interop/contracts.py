"""The contracts that our producers and our workers share here."""

from types import NoneType

from celeriac.contract.contract import Contract
from celeriac.payloads import TaskPayload, TaskResult


class Say(TaskPayload):
    text: str


class Said(TaskResult):
    source_service: str = "ours"
    text: str


shout = Contract(name="interop.shout", queue="default", payload=Say, result=Said)
plain: Contract[None, float] = Contract(name="interop.stamp", queue="default", payload=NoneType, result=float)
