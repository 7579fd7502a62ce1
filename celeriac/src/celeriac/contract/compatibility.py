"""May this change of a contract be deployed while messages of the old one are still in a queue?

python -m celeriac.contract.compatibility MODULE FOLDER            compare its CONTRACTS with their snapshots there
python -m celeriac.contract.compatibility MODULE FOLDER --write    take over what is harmless; a break is refused
"""

import importlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from celeriac.contract.spec import Spec

HOW_TO_VERSION = (
    "Messages and results of the old shape exist when this is deployed. Leave the contract as it is, add the new shape "
    'as one of its own (such as "{name}_v2"), drop the old one when its queue is empty: common/README.md, "Versions".'
)

Schema = dict[str, Any]

LOWER_LIMITS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER_LIMITS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
OTHER_LIMITS = ("pattern", "format", "multipleOf", "uniqueItems")
CHOICES = ("anyOf", "oneOf")
# Where schemas lie in a schema: by name, in a list, alone.
NAMED, LISTED, SINGLE = ("properties", "$defs"), (*CHOICES, "prefixItems"), ("items", "additionalProperties")
COMPARED = {*LOWER_LIMITS, *UPPER_LIMITS, *OTHER_LIMITS, "type", "enum", "const", "required", "$ref"}
SAYS_NOTHING = {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "discriminator"}


def snapshot(contract: Spec[Any, Any]) -> Schema:
    """The contract as others may rely on it."""
    return {
        "name": contract.name,
        "queue": contract.queue,
        "payload": contract.payload_adapter.json_schema(),
        "result": contract.result_adapter.json_schema(),
    }


def breaks(old: Schema, new: Schema) -> list[str]:
    """What makes the new contract unable to read what the old one wrote, or the old one what the new one answers."""
    found = [] if old["queue"] == new["queue"] else [f"queue: {old['queue']} became {new['queue']}"]
    for part in ("payload", "result"):
        found += [f"{part}{problem}" for problem in _not_understood(old[part], new[part])]
    found += [f"payload{problem}" for problem in Reading(old["payload"], new["payload"]).problems()]
    found += [f"result{problem}" for problem in Reading(old["result"], new["result"]).problems()]
    # A caller is older than the worker for a while. It skips fields that it does not know, and misses those it does.
    backwards = Reading(new["result"], old["result"], skips_unknown=True).problems()
    found += [f"result, for callers of the old version{problem}" for problem in backwards]
    return found


class Reading:
    """Whether a reader of `new` takes every document that a writer of `old` can have written."""

    def __init__(self, old: Schema, new: Schema, *, skips_unknown: bool = False) -> None:
        self.old, self.new, self.skips_unknown = old, new, skips_unknown

    def problems(self) -> Iterator[str]:
        return self._any(self.old, self.new, "")

    def _any(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        olds, news = _variants(old, self.old), _variants(new, self.new)
        if len(olds) == len(news) == 1:
            yield from self._one(olds[0], news[0], at)
            return
        for variant in olds:
            if all(list(self._one(variant, other, at)) for other in news):
                yield f"{at}: {_name(variant)} is not accepted any more"

    def _one(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        if not _wider(old.get("type"), new.get("type")):
            yield f"{at}: {_name(old)} became {_name(new)}"
            return
        yield from _limits(old, new, at)
        yield from self._fields(old, new, at)
        yield from self._items(old, new, at)

    def _items(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        """Position by position, as far as either has named positions, then what may follow."""
        before, after = old.get("prefixItems", []), new.get("prefixItems", [])
        positions = max(len(before), len(after))
        longest = old.get("maxItems", positions + 1)
        for position in range(min(positions + 1, longest)):
            was = before[position] if position < len(before) else old.get("items", {})
            now = after[position] if position < len(after) else new.get("items", {})
            yield from self._inner(was, now, f"{at}[{position if position < positions else ''}]")

    def _inner(self, old: Schema | bool, new: Schema | bool, at: str) -> Iterator[str]:
        """Of schemas that may be True for "anything" and False for "nothing"."""
        if old is False or new is True or new == {}:
            return
        if new is False:
            yield f"{at}: not accepted any more"
            return
        yield from self._any({} if isinstance(old, bool) else old, {} if isinstance(new, bool) else new, at)

    def _fields(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        others_before, others = old.get("additionalProperties", True), new.get("additionalProperties", True)
        closed = others is False
        if closed and others_before is not False and not self.skips_unknown:
            yield f"{at}: unknown fields are refused now"
        if not closed:
            yield from self._inner(others_before, others, f"{at}.*")
        for name in before.keys() - after.keys():
            if closed and not self.skips_unknown:
                yield f"{at}.{name}: removed or renamed"
            elif not closed:
                yield from self._inner(before[name], others, f"{at}.{name}")
        for name in sorted(set(new.get("required", [])) - set(old.get("required", []))):
            yield f"{at}.{name}: required now" if name in before else f"{at}.{name}: new and required"
        for name in before.keys() & after.keys():
            yield from self._any(before[name], after[name], f"{at}.{name}")


def _variants(schema: Schema, root: Schema) -> list[Schema]:
    """The alternatives of a schema, references followed; what stands beside them holds for each."""
    if "$ref" in schema:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return _variants(root["$defs"][schema["$ref"].removeprefix("#/$defs/")] | beside, root)
    for choice in CHOICES:
        if choice in schema:
            beside = {key: value for key, value in schema.items() if key != choice}
            return [variant for one in schema[choice] for variant in _variants(beside | one, root)]
    return [schema]


def _not_understood(old: Schema, new: Schema) -> Iterator[str]:
    """Keywords that this check does not compare: it cannot tell whether their change is harmless, so it says no."""
    before, after = dict(_unknown(old, "")), dict(_unknown(new, ""))
    for place in sorted(before.keys() | after.keys()):
        # One that did not change is harmless, unless it speaks of something that lies elsewhere and may have changed.
        if before.get(place) != after.get(place) or (old != new and "$ref" in json.dumps(after[place])):
            yield f"{place}: a keyword that this check does not know; teach it to {Path(__file__).name}"


def _unknown(schema: Any, at: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(schema, dict):  # True or False
        return
    for key, value in schema.items():
        if key in NAMED:
            for name, one in value.items():
                yield from _unknown(one, f"{at}.{name}")
        elif key in LISTED:
            for position, one in enumerate(value):
                yield from _unknown(one, f"{at}.{key}[{position}]")
        elif key in SINGLE:
            yield from _unknown(value, f"{at}.{key}")
        elif key not in COMPARED | SAYS_NOTHING:
            yield f"{at}.{key}", value


def _values(schema: Schema) -> list[Any] | None:
    """The only values that it takes, if it says so: a Literal of one value is a `const`, of several an `enum`."""
    values: list[Any] | None = [schema["const"]] if "const" in schema else schema.get("enum")
    return values


def _wider(old: str | None, new: str | None) -> bool:
    return new is None or old == new or (old, new) == ("integer", "number")


def _limits(old: Schema, new: Schema, at: str) -> Iterator[str]:
    tighter = [key for key in LOWER_LIMITS if key in new and (key not in old or new[key] > old[key])]
    tighter += [key for key in UPPER_LIMITS if key in new and (key not in old or new[key] < old[key])]
    tighter += [key for key in OTHER_LIMITS if key in new and new[key] != old.get(key)]
    for key in tighter:
        yield f"{at}: {key} became {new[key]} (was {old.get(key, 'not limited')})"
    before, after = _values(old), _values(new)
    if after is None:
        return
    if before is None:
        yield f"{at}: only {', '.join(map(str, after))} now"
    for value in before or []:
        if value not in after:
            yield f"{at}: {value} is not accepted any more"


def _name(schema: Schema) -> str:
    return str(schema.get("type") or schema.get("title") or "anything")


def check(folder: Path, contracts: Iterable[Spec[Any, Any]]) -> tuple[list[str], list[str]]:
    """What breaks, and what merely is not in the snapshots yet."""
    breaking, unwritten = [], []
    now = {contract.name: snapshot(contract) for contract in contracts}
    before = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    for name in before.keys() - now.keys():
        breaking.append(f"{name}: the contract is gone; delete {folder / name}.json when its queue is empty everywhere")
    for name, new in now.items():
        problems = breaks(before[name], new) if name in before else []
        if problems:
            breaking += [f"{name}: {problem}" for problem in problems] + [HOW_TO_VERSION.format(name=name)]
        elif before.get(name) != new:
            unwritten.append(name)
    return breaking, unwritten


def write(folder: Path, contracts: Iterable[Spec[Any, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for contract in contracts:
        (folder / f"{contract.name}.json").write_text(json.dumps(snapshot(contract), indent=2, sort_keys=True) + "\n")


def main(arguments: list[str]) -> int:
    if len(arguments) not in {2, 3} or arguments[2:] not in ([], ["--write"]):
        print(__doc__, file=sys.stderr)  # noqa: T201  a command
        return 2
    contracts, folder = importlib.import_module(arguments[0]).CONTRACTS, Path(arguments[1])
    breaking, unwritten = check(folder, contracts)
    if breaking:
        print("\n".join(breaking), file=sys.stderr)  # noqa: T201
        return 1
    if arguments[2:]:
        write(folder, contracts)
    elif unwritten:
        print(f"changed without harm, but not in the snapshots: {', '.join(unwritten)}; add --write", file=sys.stderr)  # noqa: T201  # a command
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
