"""What somebody wants to send, and the messages that this makes: all of them valid, or none at all."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from devctl.broker.port import Message
from devctl.contracts.assign import assign
from devctl.contracts.catalog import Catalog, TaskContract
from devctl.contracts.document import Document, array, mapping
from devctl.contracts.port import FieldProblem, Task, Tasks, Wrong
from devctl.contracts.sample import samples
from devctl.contracts.signatures import Signature
from devctl.discovery.model import Answer, FoundTask
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
    """JSON; of a contract sent as it is, of a signature checked against it."""
    kwargs: str | None = None
    queue: str = ""
    unchecked: bool = False
    """Send the arguments as they are, whatever the signature says."""
    consumed: Callable[[Task | None], Sequence[str]] = lambda task: ()
    """The queues that workers consume who could run it: asked where nothing else says the queue."""


def messages(tasks: Tasks, request: Request) -> list[Message]:
    """Make all messages; UsageError names what is wrong, and then there is none."""
    if request.args is not None or request.kwargs is not None:
        return _called(tasks, request)
    task = _task(tasks, request)
    queue = _queue(task, request)
    made: list[Message] = []
    problems: list[tuple[str, FieldProblem]] = []
    wrong = 0
    for document in _documents(task, request):
        value = document.value
        for assignment in request.assignments:
            value = assign(task, value, assignment)
        try:
            made.append(task.message(value, queue=queue))
        except Wrong as exc:
            wrong += 1
            problems += [(document.place, problem) for problem in exc.problems]
    if problems:
        raise _refusal(task, problems, wrong, wrong + len(made))
    _refuse_repeats(made)
    return made


def _task(tasks: Tasks, request: Request) -> Task:
    if request.name:
        return tasks.get(request.name)
    if isinstance(tasks, Catalog):
        return tasks.default
    raise UsageError("which task?", hint="devctl tasks     which there are\ndevctl send-task NAME")


def _queue(task: Task, request: Request) -> str:
    """The queue that was said, or that is found; else the only one that a worker consumes who could run it."""
    if found := request.queue or task.queue:
        return found
    consumed = request.consumed(task)
    if len(consumed) == 1:
        return consumed[0]
    why = task.found.queue.source if isinstance(task, Signature) else "nothing says it"
    raise UsageError(
        f"which queue does {task.name} go to? not sure",
        details=[why, *([f"workers consume {', '.join(consumed)}"] if consumed else [])],
        hint=f"devctl send-task {request.name or task.short} --queue {consumed[0] if consumed else 'QUEUE'}",
    )


def _documents(task: Task, request: Request) -> Sequence[Document]:
    if isinstance(task, TaskContract) and request.documents is None:
        return [Document(value) for value in itertools.islice(samples(task, seed=request.seed), request.count)]
    if request.documents is None:
        if request.seed is not None:
            raise UsageError("--seed makes samples, and a signature is too little for them", hint="leave it out")
        return [Document({}) for _ in range(request.count)]
    if task.takes_nothing:
        raise UsageError(f"{task.name} takes no payload", hint=f"devctl send-task {task.short}")
    return request.documents


def _refusal(task: Task, problems: Sequence[tuple[str, FieldProblem]], wrong: int, total: int) -> UsageError:
    field = "argument" if isinstance(task, Signature) else "field"
    count = f"{len(problems):,} {field}{' is' if len(problems) == 1 else 's are'} wrong"
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
        hint=f"devctl tasks {task.short}     its {field}s and an example",
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


def _called(tasks: Tasks, request: Request) -> list[Message]:
    if request.documents is not None or request.assignments or request.seed is not None:
        raise UsageError(
            "--args and --kwargs are all that a task gets: --set, --json-file and --seed make its input another way",
            hint="devctl send-task --help",
        )
    if not request.name:
        raise UsageError("--args and --kwargs need the name of a task", hint="devctl send-task NAME --args '[1, 2]'")
    args, kwargs = array("--args", request.args), mapping("--kwargs", request.kwargs)
    task = tasks.find(request.name)
    if task is None and not request.queue:
        tasks.get(request.name)
    if task is None:
        unknown = FoundTask(request.name, Answer(None, "no code of it was found here"), None)
        task = Signature(unknown, traced=isinstance(tasks, Catalog))
    queue = _queue(task, request)
    try:
        return [task.call(args, kwargs, queue=queue, check=not request.unchecked) for _ in range(request.count)]
    except Wrong as exc:
        raise _refusal(task, [("", problem) for problem in exc.problems], 1, 1) from exc
