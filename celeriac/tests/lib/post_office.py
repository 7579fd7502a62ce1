"""A small service with celeriac.http: it posts letters. Also a program: `python post_office.py`."""

import asyncio
import sys
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Response
from pydantic import BaseModel, Field

from celeriac.app.settings import CelerySettings
from celeriac.contract.contract import Contract
from celeriac.http.api import Api
from celeriac.http.errors import ApiError
from celeriac.http.idempotency import IdempotencyKeys
from celeriac.http.openapi import CORRELATION_ID, IDEMPOTENCY_KEY, accepted_responses, error_responses
from celeriac.http.progress import progress_of
from celeriac.http.server import serve
from celeriac.payloads import Model, TaskPayload, TaskResult

PATH = "/letters"
KEYS = UUID("00000000-0000-4000-8000-000000000001")


class Page(Model):
    lines: int = Field(ge=0)


class LetterRequest(Model):
    recipient: str = Field(min_length=1, max_length=100)
    pages: tuple[Page, ...] = ()


class Letter(TaskPayload):
    recipient: str
    pages: tuple[Page, ...] = ()


class Posted(TaskResult):
    stamps: int


class Accepted(BaseModel):
    letter_id: UUID


class Status(BaseModel):
    status: str


post_letter = Contract(name="letters.post", queue="letters", payload=Letter, result=Posted)


def letters(settings: CelerySettings | None = None, **options: Any) -> Api:
    """Its API."""
    api = Api("post-office", [post_letter], settings, title="Letters", **options)

    @api.post(
        PATH,
        status_code=202,
        responses=accepted_responses(),
        openapi_extra={"parameters": [CORRELATION_ID, IDEMPOTENCY_KEY]},
    )
    def place(
        letter: LetterRequest, letter_id: Annotated[UUID, Depends(IdempotencyKeys(KEYS))], response: Response
    ) -> Accepted:
        post_letter.delay(
            Letter(task_id=letter_id, source_service="post-office", recipient=letter.recipient, pages=letter.pages)
        )
        response.headers["Location"] = f"{PATH}/{letter_id}"
        return Accepted(letter_id=letter_id)

    @api.get(
        PATH + "/{letter_id}", responses=error_responses({404: "No such letter.", 422: "No id.", 503: "No broker."})
    )
    def find(letter_id: UUID) -> Status:
        found = progress_of(post_letter, letter_id)
        if found is None:
            raise ApiError(404, "not_found", "There is no such letter.")
        return Status(status=found.state)

    add_plain_endpoints(api)
    return api


def letter() -> Letter:
    return Letter(source_service="post-office", recipient="Anna")


def add_plain_endpoints(api: Api) -> None:
    """Endpoints as a team may write them: `.delay()` in a plain one, and in an `async def`."""

    @api.post("/plain")
    def plain() -> str:
        return post_letter.delay(letter()).id

    @api.post("/async")
    async def in_a_coroutine() -> str:
        return (await asyncio.to_thread(post_letter.delay, letter())).id

    @api.post("/later")
    def later() -> str:
        return post_letter.apply_async(letter(), countdown=60).id

    @api.post("/many")
    def many() -> int:
        return len(post_letter.publish_many([letter() for _ in range(3)]).accepted)

    @api.post("/linked")
    def linked() -> str:
        return str(post_letter.s(letter()).apply_async(link=post_letter.s(letter())).id)

    @api.get("/state/{task_id}")
    def state(task_id: str) -> str:
        return post_letter.pending(task_id).state

    @api.get("/result/{task_id}")
    def result(task_id: str) -> int:
        return post_letter.pending(task_id).get(timeout=30).stamps


if __name__ == "__main__":
    sys.exit(serve("post-office", letters))
