"""A task: what travels, its contract, and the body in the service that runs it."""

from __future__ import annotations

import ast

from devctl.errors import DevctlError, UsageError
from devctl.new import composition, python, snapshots, templates
from devctl.new.names import TaskName
from devctl.new.repository import Home, Repository

_RETRIES = "RETRY_|# .*as its contract has it"  # the lines of .env.example that a variable for retries goes below


def add(repository: Repository, task: TaskName, queue: str, service: str) -> None:
    """Add the contract, and its body to the service if one is named."""
    home = repository.home(service) if service else None
    contracts, changes = repository.contracts, repository.changes
    tasks = changes.read(contracts.tasks)
    if python.defines(tasks, task.short):
        _refuse_another(tasks, task, queue)
    else:
        _refuse_foreign_queue(repository, tasks, queue, home)
        _schemas(repository, task)
        repository.changes.write(contracts.tasks, _contract(repository, tasks, task, queue))
    if home:
        implement(repository, task, home)
    snapshots.add(repository, task)


def implement(repository: Repository, task: TaskName, home: Home) -> None:
    """Add the body of a task to a service that runs tasks, with its test and its variable for retries."""
    owner = repository.owner(task.short)
    if owner not in ("", home.name):
        raise UsageError(f"{task.short} has its body in {owner} already", hint=f"devctl new task {task.short}_v2 …")
    changes, package = repository.changes, home.package
    handlers, main = home.file("handlers.py"), home.file("main.py")
    if not owner:
        body = Body.of(repository, task)
        text = changes.read(handlers) if changes.has(handlers) else templates.HANDLERS
        repository.changes.write(handlers, body.added(repository, text))
        if changes.has(main):  # a new service's main comes with the service
            repository.changes.write(main, _owned(repository, changes.read(main), home, task))
        test = templates.handler_test(task, body.payload, echoes=body.echoes)
        imports = {
            "celeriac": () if body.echoes else ("PermanentError",),
            f"{repository.contracts.package}.schemas": {body.payload} - {"None"},
            f"{package}.handlers": (task.handler,),
        }
        changes.create(home.tests / f"test_{task.short}.py", repository.with_imports(test, imports))
    retry_variable(repository, task, home)


def retry_variable(repository: Repository, task: TaskName, home: Home) -> None:
    """Let the Compose file pass on what changes the task's retries, if it is retried at all."""
    tasks = repository.changes.read(repository.contracts.tasks)
    if python.argument(tasks, task.short, "retries") is None:
        return
    value = f"${{{task.variable}:-}}"
    text = repository.changes.read(repository.compose_file)
    file = repository.compose_file.name
    repository.changes.write(
        repository.compose_file, composition.with_variable(text, home.name, task.variable, value, file)
    )
    example = repository.root / ".env.example"
    if repository.changes.has(example):
        comment = "# How a failed task is tried again, such as limit=5,cap=60,base=2; empty: as its contract has it\n"
        text = repository.changes.read(example)
        repository.changes.write(example, composition.with_example(text, task.variable, "", _RETRIES, comment))


class Body:
    """What the body of a task takes and gives, by the names of the models."""

    def __init__(self, payload: str, result: str, *, echoes: bool, task: TaskName) -> None:
        self.payload, self.result, self.echoes, self._task = payload, result, echoes, task

    @classmethod
    def of(cls, repository: Repository, task: TaskName) -> Body:
        """Read the contract. A payload and a result that were just made are echoed; others wait for their author."""
        tasks = repository.changes.read(repository.contracts.tasks)
        schemas = repository.changes.read(repository.contracts.schemas)
        payload, result = (_model(tasks, task, keyword) for keyword in ("payload", "result"))
        shapes = [
            {name: ast.unparse(one.annotation) for name, one in python.fields_of(schemas, model).items()}
            for model in (payload, result)
            if model != "None"
        ]
        return cls(payload, result, echoes=shapes == [{templates.ECHOED: "str"}] * 2, task=task)

    def added(self, repository: Repository, handlers: str) -> str:
        """Return the handlers with one more."""
        code = templates.handler(self._task, self.payload, self.result, echoes=self.echoes)
        package, imports = repository.contracts.package, repository.imports
        text = python.appended(handlers, code)
        text = imports.add(text, "celeriac", ["implements", *([] if self.echoes else ["PermanentError"])])
        if models := {self.payload, self.result} - {"None"}:
            text = imports.add(text, f"{package}.schemas", models)
        return imports.add(text, f"{package}.tasks", [self._task.short])


def _model(tasks: str, task: TaskName, keyword: str) -> str:
    found = python.argument(tasks, task.short, keyword)
    if isinstance(found, ast.Name):
        return "None" if found.id == "NoneType" else found.id
    raise DevctlError(
        f"the {keyword} of {task.short} is not written as {keyword}=MODEL",
        hint=f"write the body by hand: @implements({task.short}) in the service's handlers.py",
    )


def _schemas(repository: Repository, task: TaskName) -> None:
    path = repository.contracts.schemas
    text = repository.changes.read(path)
    if taken := [name for name in (task.payload, task.result) if python.defines(text, name)]:
        raise UsageError(f"{path.name} has a {taken[0]} already", hint="another name for the task")
    text = python.appended(text, templates.schemas(task))
    repository.changes.write(path, repository.imports.add(text, "celeriac", ["TaskPayload", "TaskResult"]))


def _contract(repository: Repository, tasks: str, task: TaskName, queue: str) -> str:
    path = repository.contracts.tasks
    try:
        text = python.inserted_before(tasks, "CONTRACTS", templates.contract(task, queue))
        text = python.with_item(text, "CONTRACTS", task.short)
    except python.NotFound as wrong:
        raise DevctlError(f"{path}: {wrong}", hint="it needs a line such as: CONTRACTS = (resize, tidy_up)") from wrong
    text = repository.imports.add(text, "celeriac", ["Contract", "RetryPolicy"])
    return repository.imports.add(text, f"{repository.contracts.package}.schemas", [task.payload, task.result])


def _owned(repository: Repository, main: str, home: Home, task: TaskName) -> str:
    try:
        text = python.with_argument(main, "serve", task.handler, keyword="owns")
    except python.NotFound as wrong:
        raise DevctlError(
            f"{home.name} runs no tasks: its main.py has {wrong}",
            hint=f"devctl new service NAME --consumes {task.short}",
        ) from wrong
    return repository.imports.add(text, f"{home.package}.handlers", [task.handler])


def _refuse_another(tasks: str, task: TaskName, queue: str) -> None:
    found = python.argument(tasks, task.short, "queue")
    if not isinstance(found, ast.Constant) or found.value != queue:
        has = str(found.value) if isinstance(found, ast.Constant) else "another one"
        raise UsageError(
            f"{task.full} is there already, and its queue is {has}, not {queue}",
            hint="a queue never changes while messages are under way: give the new task another name",
        )


def _refuse_foreign_queue(repository: Repository, tasks: str, queue: str, home: Home | None) -> None:
    """Two services that take from one queue would each get tasks of the other that it does not know."""
    for node in ast.parse(tasks).body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        for name in [one.id for one in targets if isinstance(one, ast.Name)]:
            other = python.argument(tasks, name, "queue")
            if not isinstance(other, ast.Constant) or other.value != queue:
                continue
            owner = repository.owner(name)
            if owner and (home is None or owner != home.name):
                raise UsageError(
                    f"the queue {queue} is {owner}'s: it runs {name}, and would get this task, too",
                    hint=f"another queue, or: --in {owner}",
                )
