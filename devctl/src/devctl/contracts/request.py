"""What somebody wants to send, and the messages that this makes: all of them valid, or none at all."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from devctl.broker.port import Message
from devctl.contracts.assign import assign
from devctl.contracts.catalog import Catalog, TaskContract
from devctl.contracts.document import Document, array, mapping
from devctl.contracts.payload import FieldProblem, Wrong, message, traced
from devctl.contracts.sample import samples
from devctl.errors import UsageError

_SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class Request:
    """A task by name, and where its payloads come from: documents, or samples."""

    name: str = ""
    """Empty: the catalog's default."""
    documents: Sequence[Document] | None = None
    assignments: Sequence[str] = ()
    count: int = 1
    seed: int | None = None
    args: str | None = None
    """JSON; given, the message is sent as it is, without a contract."""
    kwargs: str | None = None
    queue: str = ""


def messages(catalog: Catalog, request: Request) -> list[Message]:
    """Make all messages; UsageError names what is wrong, and then there is none."""
    if request.args is not None or request.kwargs is not None:
        return _without_contract(catalog, request)
    contract = catalog.get(request.name) if request.name else catalog.default
    made: list[Message] = []
    problems: list[tuple[str, FieldProblem]] = []
    wrong = 0
    for document in _documents(contract, request):
        value = document.value
        for assignment in request.assignments:
            value = assign(contract, value, assignment)
        try:
            made.append(message(contract, value, queue=request.queue))
        except Wrong as exc:
            wrong += 1
            problems += [(document.place, problem) for problem in exc.problems]
    if problems:
        raise _refusal(contract, problems, wrong, wrong + len(made))
    _refuse_repeats(made)
    return made


def _documents(contract: TaskContract, request: Request) -> Sequence[Document]:
    if request.documents is None:
        return [Document(value) for value in itertools.islice(samples(contract, seed=request.seed), request.count)]
    if contract.payload is None:
        raise UsageError(f"{contract.name} takes no payload", hint=f"devctl send-task {contract.short}")
    return request.documents


def _refusal(
    contract: TaskContract, problems: Sequence[tuple[str, FieldProblem]], wrong: int, total: int
) -> UsageError:
    count = f"{len(problems):,} field{' is' if len(problems) == 1 else 's are'} wrong"
    among = f", in {wrong:,} of {total:,} payloads" if total > 1 else ""
    shown = problems[:_SHOWN_PROBLEMS]
    rows = [(f"{place}: " if place else "") + problem.path for place, problem in shown]
    left, middle = max(map(len, rows)), max(len(problem.value) for _, problem in shown)
    details = [
        f"{row.ljust(left)}  {problem.value.ljust(middle)}  {problem.expected}"
        for row, (_, problem) in zip(rows, shown, strict=True)
    ]
    if len(problems) > len(shown):
        details.append(f"and {len(problems) - len(shown):,} more")
    return UsageError(
        f"not published: {count}{among}",
        hint=f"devctl tasks {contract.short}     its fields and an example",
        details=details,
    )


def _refuse_repeats(made: Sequence[Message]) -> None:
    """One task_id is one piece of work: the same twice in one command was hardly meant."""
    ids = {one.task_id for one in made}
    repeated = [task_id for task_id, times in Counter(one.task_id for one in made).items() if times > 1]
    if repeated:
        raise UsageError(
            f"not published: {len(made):,} payloads, but only {len(ids):,} different task ids",
            hint="leave task_id out, and each gets its own",
            details=repeated[:_SHOWN_PROBLEMS],
        )


def _without_contract(catalog: Catalog, request: Request) -> list[Message]:
    if request.documents is not None or request.assignments or request.seed is not None:
        raise UsageError(
            "--args and --kwargs send a task without its contract; --set, --json-file and --seed need one",
            hint="devctl send-task --help",
        )
    if not request.name:
        raise UsageError("--args and --kwargs need the name of a task", hint="devctl send-task NAME --args '[1, 2]'")
    contract = catalog.find(request.name)
    queue = request.queue or (contract.queue if contract else "")
    if not queue:
        raise UsageError(
            f"which queue? no contract says where {request.name} goes",
            hint="add --queue NAME; devctl queues lists them",
        )
    args, kwargs = array("--args", request.args), mapping("--kwargs", request.kwargs)
    name = contract.name if contract else request.name
    ids = [str(uuid.uuid4()) for _ in range(request.count)]
    return [Message(name, queue, one, tuple(args), kwargs, headers=traced(one)) for one in ids]
