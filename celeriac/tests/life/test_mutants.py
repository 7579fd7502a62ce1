"""Every guard is taken out once, and the test that is there for it goes red. Also a guard that another one hides: its
test is one that the other does not help (the fence: a task without a record)."""

import hashlib
import inspect
import textwrap
from typing import Any

import pytest
import redis
from celeriac.tests.life.mutants import MUTANTS, Mutant
from celeriac.tests.outcome import test_committer as committing
from celeriac.tests.publish import test_publish_script as publishing
from celeriac.tests.run import test_guard as guarding

from celeriac.broker import connection
from celeriac.broker import removal as removing
from celeriac.broker.scripts import Script
from celeriac.claim import claims as claims
from celeriac.claim import revocations, transport
from celeriac.dead_letter import replay as replaying
from celeriac.lease import leases, restore, starts
from celeriac.life import trim
from celeriac.outcome import committer, unclaimed
from celeriac.publish import publisher
from celeriac.run import delivery, ends, guard, intake, pool, runner

pytestmark = pytest.mark.integration

SCRIPTS: dict[str, list[Script]] = {
    "claim": [claims.CLAIM],
    "outcome": [committer.OUTCOME, unclaimed.OUTCOME],
    "renew": [leases.RENEW],
    "start": [leases.START],
    "release": [leases.RELEASE],
    "state": [committer.STATE],
    "revoke": [revocations.REVOKE],
    "restore": [restore.RESTORE],
    "publish": [publishing.SCRIPT, publisher.SCRIPT],
    "replay": [replaying._REPLAY],
    "put": [transport.PUT],
    "trim": [trim.TRIM],
    "remove": [removing.REMOVE],
}
CLASSES: dict[str, Any] = {
    "committer": committer.Committer,
    "connection": connection.BrokerConnection,
    "unclaimed": unclaimed,
    "ends": ends.Ends,
    "guard": guard.Guard,
    "delivery": delivery.Delivery,
    "intake": intake.Intake,
    "starts": starts.Starts,
    "leases": leases.Leases,
    "runner": runner.Runner,
    "pool": pool.TaskPool,
}


class Stage:
    """Runs a test with what it asks for, again and again."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request

    def runs(self, mutant: Mutant) -> None:
        names = inspect.signature(mutant.test).parameters.keys() - mutant.with_.keys()
        given = {name: self._request.getfixturevalue(name) for name in names if name not in ("client", "pool")}
        server = given.get("redis_to_break") or self._request.getfixturevalue("redis_server")
        text = inspect.getmodule(mutant.test) is publishing
        with redis.Redis(port=server.port) as plain, redis.Redis(port=server.port, decode_responses=text) as client:
            plain.config_set("maxmemory", 0)
            plain.execute_command("ACL", "SETUSER", "default", "+@all")
            plain.flushall()
            given.get("told", []).clear()
            if "line" in given:
                given["line"].requests = given["line"].answers = lambda piece: piece
            if "client" in names:
                given["client"] = client
            makes = guarding.pool.__wrapped__() if "pool" in names else None
            if makes is not None:
                given["pool"] = next(makes)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(guarding, "PATIENCE_SECONDS", 0.5)
                if inspect.getmodule(mutant.test) is committing:
                    committing._impatient.__wrapped__(patch)
                if "monkeypatch" in given:
                    given["monkeypatch"] = patch
                mutant.test(**given, **mutant.with_)


@pytest.fixture
def stage(request: pytest.FixtureRequest) -> Stage:
    return Stage(request)


def taken_out(mutant: Mutant, patch: pytest.MonkeyPatch, client: redis.Redis) -> None:
    """The guard is gone; what is left can still be loaded."""
    owner, _, method = mutant.place.partition(".")
    if not method:
        for script in SCRIPTS[owner]:
            assert mutant.there in script.text, f"{owner}.lua has no {mutant.there!r} any more"
            text = script.text.replace(mutant.there, mutant.instead, 1)
            client.script_load(text)
            patch.setattr(script, "text", text)
            patch.setattr(script, "sha", hashlib.sha1(text.encode()).hexdigest())
        return
    function = getattr(CLASSES[owner], method)
    function = function.fget if isinstance(function, property) else function
    source = textwrap.dedent(inspect.getsource(function))
    assert mutant.there in source, f"{mutant.place} has no {mutant.there!r} any more"
    made: dict[str, Any] = {}
    exec(source.replace(mutant.there, mutant.instead, 1), function.__globals__, made)
    patch.setattr(CLASSES[owner], method, made[method])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # that is what some are about
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)
def test_the_guard_is_missed(mutant: Mutant, stage: Stage, redis_server: Any) -> None:
    stage.runs(mutant)
    with pytest.MonkeyPatch.context() as patch, redis.Redis(port=redis_server.port) as client:
        taken_out(mutant, patch, client)
        try:
            stage.runs(mutant)
        except (Exception, pytest.fail.Exception):
            return
    pytest.fail(f"nobody misses it; {mutant.test.__name__} does not see that it is gone")
