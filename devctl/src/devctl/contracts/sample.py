"""Valid example payloads for any contract: drawn from its JSON schema and its examples, checked by its model."""

from __future__ import annotations

import base64
import math
import random
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from devctl.contracts.pattern import matching
from devctl.contracts.payload import checked
from devctl.contracts.port import Contract, Task, Wrong
from devctl.contracts.schema import DEEPEST, Node, Schema
from devctl.errors import DevctlError

_DRAWS = 60
_REPAIRS = 15  # attempts to draw only the wrong fields again, before everything is
# Fields that say who sends: a sample comes from here, and says so.
_OURS = {"source_service": "devctl"}


def samples(contract: Contract, *, seed: int | None = None) -> Iterator[Any]:
    """Endless valid payloads as JSON values.

    The same seed gives the same content. Ids and times are new every time: one id is one piece of work, and sending the
    same ids again would be a repeat of it.
    """
    rng = random.Random(seed)  # noqa: S311  an example, not a secret
    while True:
        yield _valid(contract, rng)


def part(contract: Task, node: Node, name: str) -> Any:
    """An example of a part of the payload, such as one more item of a list; the whole decides whether it is valid."""
    return _Draw(Schema(contract.schema), random.Random(0), 0).value(node, name)  # noqa: S311


def _valid(contract: Contract, rng: random.Random) -> Any:
    if contract.payload is None:
        return None
    problem: Wrong | None = None
    if contract.schema:
        drawn: Any = None
        for attempt in range(_DRAWS):
            draw = _Draw(Schema(contract.schema), rng, attempt)
            if attempt % _REPAIRS == 0 or not problem or not draw.repair(drawn, problem):
                drawn = draw.value(contract.schema, contract.short)
            try:
                checked(contract, drawn)
            except Wrong as exc:
                problem = exc
            else:
                return drawn
    examples = list(_examples(contract))
    rng.shuffle(examples)
    for example in examples:
        try:
            checked(contract, example)
        except Wrong as exc:
            problem = problem or exc
        else:
            return example
    raise DevctlError(
        f"no valid sample of {contract.name} was found: its fields depend on each other, which no schema can express",
        hint='give its model an example: model_config = ConfigDict(json_schema_extra={"examples": [{…}]})',
        details=[str(found) for found in (problem.problems if problem else ())],
    )


def _examples(contract: Contract) -> Iterator[Any]:
    schema = Schema(contract.schema).resolve(contract.schema)
    config = getattr(contract.payload, "model_config", {}).get("json_schema_extra")
    sources = [schema.get("examples", []), config.get("examples", []) if isinstance(config, Mapping) else []]
    for example in (one for source in sources for one in source):
        # An id that stands in an example would be sent again and again.
        yield _without_defaults(Schema(schema), example) if isinstance(example, Mapping) else example


def _without_defaults(schema: Schema, example: Mapping[str, Any]) -> dict[str, Any]:
    must = schema.root.get("required", ())
    kinds = {key: schema.step(schema.root, key) or {} for key in example}
    return {key: value for key, value in example.items() if key in must or kinds[key].get("format") != "uuid"}


class _Draw:
    """One attempt. The first ones are natural; later ones vary what a schema does not say."""

    def __init__(self, schema: Schema, rng: random.Random, attempt: int) -> None:
        self._schema, self._rng, self._attempt = schema, rng, attempt

    def value(self, node: Any, name: str, depth: int = 0) -> Any:
        choices = self._schema.choices(node)
        filled = [choice for choice in choices if choice.get("type") != "null"]
        if not filled or (len(filled) < len(choices) and (depth > DEEPEST or self._attempt > _DRAWS / 2)):
            return None
        # The first alternative is the one that its author thought of first.
        choice = filled[0] if self._attempt < 3 else self._rng.choice(filled)
        if examples := (choice.get("examples") if depth else None):
            return self._rng.choice(examples)
        if "const" in choice:
            return choice["const"]
        if "enum" in choice:
            return self._rng.choice(choice["enum"])
        kinds: dict[str, Callable[[Node, str, int], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": lambda node, name, _: self._string(node, name),
            "integer": lambda node, _, __: self._number(node, whole=True),
            "number": lambda node, _, __: self._number(node, whole=False),
            "boolean": lambda _, __, ___: self._rng.random() < 0.5,
        }
        kind = str(choice.get("type", "object" if "properties" in choice else "string"))
        return kinds[kind](choice, name, depth) if kind in kinds else None

    def repair(self, drawn: Any, wrong: Wrong) -> bool:
        """Draw the fields again that are wrong; False where that cannot be told."""
        fields = {problem.path.partition(".")[0] for problem in wrong.problems}
        if not isinstance(drawn, dict) or not fields <= drawn.keys():
            return False
        for field in fields:
            drawn[field] = self.value(self._schema.step(self._schema.root, field), field, 1)
        return True

    def _object(self, node: Node, _: str, depth: int) -> dict[str, Any]:
        made = {
            key: self.value(inner, key, depth + 1)
            for key, inner in node.get("properties", {}).items()
            if key in node.get("required", ()) or self._optional(inner, depth)
        }
        other = node.get("additionalProperties", True)
        for number in range(len(made), node.get("minProperties", 0)):
            made[f"key-{number + 1}"] = self.value(other, "value", depth + 1)
        return made

    def _optional(self, node: Any, depth: int) -> bool:
        """Whether to fill in what may be left out: first all that has a fixed default, then only what must be, then at
        random. What has no fixed default is made by the model: ids, times."""
        if depth > DEEPEST or self._attempt in range(10, 20):
            return False
        return "default" in self._schema.resolve(node) if self._attempt < 10 else self._rng.random() < 0.5

    def _array(self, node: Node, name: str, depth: int) -> list[Any]:
        fixed = [self.value(inner, name, depth + 1) for inner in node.get("prefixItems", [])]
        least = max(node.get("minItems", 0), len(fixed))
        most = min(node.get("maxItems", least + 2), max(least, 1) + 1)
        if depth > DEEPEST or not node.get("items"):
            most = least
        wanted = self._rng.randint(min(max(least, 1), most), most)
        singular = name.removesuffix("s")
        for _ in range(wanted * 20):
            if len(fixed) >= wanted:
                break
            item = self.value(node.get("items", {}), singular, depth + 1)
            if not node.get("uniqueItems") or item not in fixed:
                fixed.append(item)
        return fixed

    def _number(self, node: Node, *, whole: bool) -> float:
        step = node.get("multipleOf") or (1 if whole else 0.01)
        low, high = node.get("minimum"), node.get("maximum")
        if "exclusiveMinimum" in node:
            low = max(node["exclusiveMinimum"] + step, low if low is not None else -math.inf)
        if "exclusiveMaximum" in node:
            high = min(node["exclusiveMaximum"] - step, high if high is not None else math.inf)
        if low is None:
            low = 1 if high is None or high >= 1 else high - 9 * step
        # Small numbers read well. A tenth of a wide range would be one that no human enters.
        high = min(low + 9 * max(step, 1), high if high is not None else math.inf)
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if first > last:  # the range is narrower than a step: only its middle is sure
            return (low + high) / 2
        number = self._rng.randint(first, last) * step
        return int(number) if whole else round(number, 10)

    def _string(self, node: Node, name: str) -> str:
        makers: dict[str, Callable[[], str]] = {
            "uuid": lambda: str(uuid.uuid4()),
            "date-time": lambda: self._moment().isoformat(),
            "date": lambda: self._moment().date().isoformat(),
            "time": lambda: self._moment().time().isoformat(timespec="seconds"),
            "duration": lambda: f"PT{self._rng.randint(1, 59)}M",
            "email": lambda: f"{name.replace('_', '.')}-{self._rng.randint(1, 99)}@example.com",
            "uri": lambda: f"https://example.com/{name}/{self._rng.randint(1, 99)}",
            "ipv4": lambda: f"192.0.2.{self._rng.randint(1, 254)}",
            "ipv6": lambda: f"2001:db8::{self._rng.randint(1, 9999):x}",
            "ipv4network": lambda: "192.0.2.0/24",
            "ipv6network": lambda: "2001:db8::/32",
            "base64": lambda: base64.b64encode(name.encode()).decode(),
            "json-string": lambda: "{}",
        }
        if made := makers.get(str(node.get("format"))):
            return made()
        for text in self._texts(name):
            fitted = _fit(text, node)
            if _accepts(node, fitted):
                return fitted
        for _ in range(200):
            text = matching(node.get("pattern", ""), self._rng)
            if _accepts(node, text):
                return text
        return ""

    def _texts(self, name: str) -> Iterator[str]:
        if name in _OURS:
            yield _OURS[name]
        yield f"{name.removesuffix('_id').replace('_', '-')}-{self._rng.randint(1, 99)}"

    def _moment(self) -> datetime:
        now = datetime.now(UTC)
        variants = [now, now + timedelta(days=1), now - timedelta(days=1), now.replace(tzinfo=None)]
        return variants[0] if self._attempt < 3 else self._rng.choice(variants)


def _fit(text: str, node: Node) -> str:
    text = text[: int(node.get("maxLength", len(text)))]
    return text + text[-1:] * (int(node.get("minLength", 0)) - len(text))


def _accepts(node: Node, text: str) -> bool:
    if not node.get("minLength", 0) <= len(text) <= node.get("maxLength", math.inf):
        return False
    try:
        return "pattern" not in node or re.search(node["pattern"], text) is not None
    except re.error:  # a pattern in Rust's words: the model decides
        return True
