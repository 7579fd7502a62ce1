"""JSON bodies read strictly: what two readers could understand differently is refused."""

import json
import re
from http import HTTPStatus
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute

from celeriac.http.errors import LONGEST_TEXT, ApiError, WrongField, name

MOST_DEEP = 32
EXACT = 2.0**53  # up to here a float is one integer and no other
# Neither survives every store and every reader: NUL ends strings, half a surrogate pair has no UTF-8.
NOT_TEXT = re.compile("[\x00\ud800-\udfff]")


class JsonRoute(APIRoute):
    """A route whose body, if it takes one, must be strict JSON."""

    def get_route_handler(self) -> Any:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            if self.body_field is not None:
                check_media_type(request.headers.get("content-type", ""))
                request = StrictRequest(request.scope, request.receive)
                request.parsed = parse(await request.body())
            response: Response = await handle(request)
            return response

        return strict


class StrictRequest(Request):
    """Answers FastAPI with what was parsed before: it would turn our errors into its own."""

    parsed: Any = None

    async def json(self) -> Any:
        return self.parsed


def check_media_type(content_type: str) -> None:
    kind, _, parameters = content_type.partition(";")
    charset = re.search(r"charset\s*=\s*\"?([^\s;\"]+)", parameters, re.IGNORECASE)
    is_json = re.fullmatch(r"application/(json|[\w.-]+\+json)", kind.strip(), re.IGNORECASE)
    if not is_json or (charset and charset[1].lower() not in {"utf-8", "utf8"}):
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body must be JSON in UTF-8: send Content-Type: application/json.",
            headers={"Accept": "application/json"},
        )


def parse(body: bytes) -> Any:
    """The value of this JSON text, or a 400 that says where it ends to be one."""
    if not body:
        _refuse("it is empty")
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_no_constant,
            parse_int=_integer,
            parse_float=_number,
        )
        _check_text(value, ())
    except json.JSONDecodeError as exc:
        _refuse(f"{exc.msg} at line {exc.lineno}, column {exc.colno}")
    except UnicodeDecodeError as exc:
        _refuse(f"it is not UTF-8, at byte {exc.start}")
    except RecursionError:
        _refuse(f"it is nested deeper than {MOST_DEEP} levels")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # add returns None
        _refuse(f"the key {twice[:LONGEST_TEXT]!r} stands twice in one object")
    return found


def _no_constant(text: str) -> NoReturn:
    _refuse(f"{text} is not JSON")


def _integer(text: str) -> int:
    # Python refuses to read numbers of more than 4,300 digits; nothing here needs more than a few.
    if len(text) > 100:
        _refuse("a number has more than 100 digits")
    return int(text)


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if abs(value) <= EXACT and value.is_integer() else value  # 2.0 is an integer in JSON Schema


def _check_text(value: Any, path: tuple[str | int, ...]) -> None:
    if len(path) > MOST_DEEP:
        raise RecursionError
    if isinstance(value, str):
        if NOT_TEXT.search(value):
            fields = [WrongField(field=name(("body", *path)), message="It holds a character that is not text.")]
            raise ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_request", "1 field is wrong.", fields=fields)
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_text(key, path)
            _check_text(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_text(inner, (*path, index))


def _refuse(why: str) -> NoReturn:
    raise ApiError(HTTPStatus.BAD_REQUEST, "invalid_json", f"The body is not JSON that can be read: {why}.")
