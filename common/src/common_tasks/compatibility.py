"""May this change of a contract be deployed while messages of the old one are still in a queue?

python -m common_tasks.compatibility            compare the contracts with their snapshots in common/schemas
python -m common_tasks.compatibility --write    take over what is harmless; a breaking change is refused
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common_tasks.contract import Contract
from common_tasks.tasks import CONTRACTS

SNAPSHOTS = Path(__file__).parents[2] / "schemas"
WRITE = "python -m common_tasks.compatibility --write"
HOW_TO_VERSION = (
    "Messages and results of the old shape exist when this is deployed. Leave the contract as it is, add the new shape "
    'as one of its own (such as "{name}_v2"), drop the old one when its queue is empty: common/README.md, "Versions".'
)

Schema = dict[str, Any]

LOWER_LIMITS = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER_LIMITS = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
OTHER_LIMITS = ("pattern", "format", "multipleOf", "uniqueItems", "const")


def snapshot(contract: Contract[Any, Any]) -> Schema:
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
        for key, where in (("items", "[]"), ("additionalProperties", ".*")):
            if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
                yield from self._any(old[key], new[key], at + where)

    def _fields(self, old: Schema, new: Schema, at: str) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        closed = new.get("additionalProperties") is False
        if closed and old.get("additionalProperties", True) is not False and not self.skips_unknown:
            yield f"{at}: unknown fields are refused now"
        for name in before.keys() - after.keys():
            if closed and not self.skips_unknown:
                yield f"{at}.{name}: removed or renamed"
        for name in sorted(set(new.get("required", [])) - set(old.get("required", []))):
            yield f"{at}.{name}: required now" if name in before else f"{at}.{name}: new and required"
        for name in before.keys() & after.keys():
            yield from self._any(before[name], after[name], f"{at}.{name}")


def _variants(schema: Schema, root: Schema) -> list[Schema]:
    """The alternatives of a schema, references followed."""
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    if "anyOf" not in schema:
        return [schema]
    return [variant for one in schema["anyOf"] for variant in _variants(one, root)]


def _wider(old: str | None, new: str | None) -> bool:
    return new is None or old == new or (old, new) == ("integer", "number")


def _limits(old: Schema, new: Schema, at: str) -> Iterator[str]:
    tighter = [key for key in LOWER_LIMITS if key in new and (key not in old or new[key] > old[key])]
    tighter += [key for key in UPPER_LIMITS if key in new and (key not in old or new[key] < old[key])]
    tighter += [key for key in OTHER_LIMITS if key in new and new[key] != old.get(key)]
    for key in tighter:
        yield f"{at}: {key} became {new[key]} (was {old.get(key, 'not limited')})"
    if "enum" in new and "enum" not in old:
        yield f"{at}: only {', '.join(map(str, new['enum']))} now"
    for value in old.get("enum", []):
        if value not in new.get("enum", [value]):
            yield f"{at}: {value} is not accepted any more"


def _name(schema: Schema) -> str:
    return str(schema.get("type") or schema.get("title") or "anything")


def check(
    folder: Path = SNAPSHOTS, contracts: tuple[Contract[Any, Any], ...] = CONTRACTS
) -> tuple[list[str], list[str]]:
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


def write(folder: Path = SNAPSHOTS, contracts: tuple[Contract[Any, Any], ...] = CONTRACTS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for contract in contracts:
        (folder / f"{contract.name}.json").write_text(json.dumps(snapshot(contract), indent=2, sort_keys=True) + "\n")


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--write"]):
        print(__doc__, file=sys.stderr)  # noqa: T201  a command
        return 2
    breaking, unwritten = check()
    if breaking:
        print("\n".join(breaking), file=sys.stderr)  # noqa: T201
        return 1
    if arguments:
        write()
    elif unwritten:
        print(f"changed without harm, but not in the snapshots: {', '.join(unwritten)}; {WRITE}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
