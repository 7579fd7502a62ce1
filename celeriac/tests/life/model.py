"""What the transport's Redis should hold: each script in a few lines of Python, over plain lists and dictionaries.

A message is a Copy, known by its delivery tag. Fences are given to the model, not guessed: only who may use them is."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

from celeriac.broker.lists import list_of

LOOKED_AT = 50
PROVEN = 1_000_000  # beside its starts: that the last one was a death of its own
STEP = {"success": "committed", "acknowledgement": "committed", "retry": "retried", "letter": "dead"}
READABLE, GARBAGE, AHEAD = "readable", "garbage", "ahead"


@dataclass(frozen=True)
class Copy:
    """One message. Its `print` tells payloads apart; `ahead`: it says itself that its time has not come."""

    tag: str
    raw: bytes
    id: str
    print: str
    queue: str
    priority: int = 0
    kind: str = READABLE
    noted: bool = False
    """Published once: its headers have the fingerprint."""
    work: str = ""
    """The id of the work that it carries, where that is not its own."""

    @property
    def work_id(self) -> str:
        return self.work or self.id

    @property
    def list(self) -> str:
        return list_of(self.queue, self.priority)

    @property
    def recorded(self) -> bool:
        """Whether its task keeps a record; the ids of those that do not begin with n."""
        return self.work_id[0] != "n"


@dataclass(frozen=True)
class End:
    """What a worker says of a message that it has finished."""

    copy: Copy
    how: str  # success, retry, letter, acknowledgement
    effect: bool = False
    child: Copy | None = None
    again: Copy | None = None
    ripe: bool = True
    reason: str = "permanent"

    @property
    def ran(self) -> bool:
        """Its body did. Of a message that did not run, or that the record contradicts, nobody asks the record."""
        return self.reason == "permanent" and self.how != "acknowledgement"


def result_of(end: End) -> str:
    """As Celery's JSON begins."""
    return f'{{"status": "{"SUCCESS" if end.how == "success" else "FAILURE"}", "result": "{end.copy.print}"}}'


@dataclass
class Lease:
    fence: int
    owner: int
    over: bool = False


@dataclass
class Model:
    letters_bound: int
    queue_bound: int
    lists: dict[str, list[Copy]] = field(default_factory=lambda: defaultdict(list))  # the first is taken next
    due: dict[Copy, bool] = field(default_factory=dict)  # whether its time has come
    unacked: dict[str, Copy] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    index: set[str] = field(default_factory=set)  # stock workers' claims
    starts: dict[str, int] = field(default_factory=dict)
    once: dict[str, str] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    effects: Counter[str] = field(default_factory=Counter)
    letters: dict[str, list[tuple[bytes, str, Copy]]] = field(default_factory=lambda: defaultdict(list))
    steps: Counter[tuple[str, str]] = field(default_factory=Counter)  # what is to be written down: step, tag

    def wrote(self, step: str, tag: str) -> None:
        self.steps[(step, tag)] += 1

    # Publishing

    def publish(self, copy: Copy, *, waits: bool) -> int:
        known = self.once.get(copy.id)
        if known is not None and known.partition(":")[2] != copy.print:
            return -2
        if known is not None:
            return 0 if known.startswith("done:") else self.looked_for(copy)
        waiting = sum(len(copies) for copies in self.lists.values() if copies and copies[0].queue == copy.queue)
        if (max(waiting, len(self.due)) if waits else waiting) >= self.queue_bound:
            return -1
        self.once[copy.id] = f"queued:{copy.print}"
        self.wrote("published", copy.tag)
        if waits:
            self.due[copy] = False
        else:
            self.push(copy)
        return 1

    def looked_for(self, copy: Copy) -> int:
        """0: a message with this id is there; 2: none is; 3: there is too much to look at."""
        there = [one for ones in self.lists.values() for one in ones if one.queue == copy.queue]
        there += [*self.due, *self.unacked.values()]
        there += [letter if raw else replace(letter, kind=GARBAGE) for raw, _, letter in self.letters[copy.queue]]
        if len(there) > LOOKED_AT:
            return 3
        return 0 if any(one.id == copy.id and one.kind != GARBAGE for one in there) else 2

    def purge(self, queue: str) -> list[Copy]:
        """What was removed."""
        gone = [copy for copy in self.due if copy.queue == queue]
        self.due = {copy: ripe for copy, ripe in self.due.items() if copy not in gone}
        for copies in self.lists.values():
            gone += [copy for copy in copies if copy.queue == queue]
            copies[:] = [copy for copy in copies if copy.queue != queue]
        for copy in gone:
            self.forget(copy)
            self.wrote("dropped", "")
        return gone

    def forget(self, copy: Copy) -> None:
        if copy.noted and self.once.get(copy.id) == f"queued:{copy.print}":
            del self.once[copy.id]

    def push(self, copy: Copy) -> None:
        self.lists[copy.list].append(copy)

    def put_first(self, copy: Copy) -> None:
        self.lists[copy.list].insert(0, copy)

    def time_passes(self) -> None:
        for copy in self.due:
            self.due[copy] = True

    # Our workers

    def claim(
        self, names: list[str], want: int, fence: int, owner: int, due: list[Copy]
    ) -> tuple[list[Copy], dict[str, int], list[str], bool]:
        """`due`: the order in which what waits is due."""
        for copy in due:
            if self.due[copy]:
                del self.due[copy]
                self.put_first(copy)
        taken: list[Copy] = []
        full: list[str] = []
        for name in names:
            if want <= 0:
                break
            got = self.lists[name][:want]
            if got and len(self.letters[got[0].queue]) >= self.letters_bound:
                full.append(name)
                continue
            for copy in got:
                if copy.kind == GARBAGE:
                    self.letters[copy.queue].append((copy.raw, "undecodable", copy))
                    self.wrote("dead", "")
                elif copy.kind == AHEAD:
                    self.due[copy] = False
                else:
                    self.unacked[copy.tag] = copy
                    self.leases[copy.tag] = Lease(fence, owner)
                    self.wrote("claimed", copy.tag)
                    taken.append(copy)
            del self.lists[name][:want]
            want -= len(got)
        left = any(self.lists[name] for name in names if name not in full)
        return taken, {copy.tag: self.starts[copy.tag] for copy in taken if copy.tag in self.starts}, full, left

    def ours(self, tag: str, fence: int | None) -> bool:
        return tag in self.leases and self.leases[tag].fence == fence

    def start(self, copy: Copy, fence: int | None, *, alone: bool) -> bool:
        if not self.ours(copy.tag, fence):
            return False
        self.starts[copy.tag] = self.starts.get(copy.tag, 0) % PROVEN + 1 + (PROVEN if alone else 0)
        self.wrote("started", copy.tag)
        return True

    def outcome(self, ends: list[tuple[End, int | None]]) -> tuple[list[str], list[str], list[str]]:
        """Tags that were refused, repeated, left."""
        refused, repeated, left = [], [], []
        for end, fence in ends:
            tag = end.copy.tag
            if not self.ours(tag, fence):
                refused.append(tag)
                self.wrote("refused", tag)
                continue
            before = self.applied(end)
            if before == "conflict":
                left.append(tag)
                continue
            if before == "done":
                repeated.append(tag)
            self.wrote("repeated" if before == "done" else STEP[end.how], tag)
            if end.how == "retry" and (before != "done" or end.copy.work):
                assert end.again is not None
                self.due[end.again] = end.ripe
                self.wrote("published", end.again.tag)
            elif end.how == "letter" and before != "done":
                raw = self.unacked[tag].raw if tag in self.unacked else b""
                self.letters[end.copy.queue].append((raw, end.reason, end.copy))
                if end.reason != "conflict":
                    self.fails(end)
            del self.leases[tag]
            self.unacked.pop(tag, None)
            self.starts.pop(tag, None)
        return refused, repeated, left

    def applied(self, end: End) -> str | None:
        """A success: once. "done", "conflict": by the record. A failure of what was done before is none."""
        copy = end.copy
        known = self.once.get(copy.work_id, "")
        if end.how != "success":
            before = copy.recorded and end.ran and known.startswith("done:")
            if before and copy.work and end.how == "letter":
                self.answers(end)
                if end.child is not None:  # it hangs on the message, not on the work
                    self.bears(end.child)
            return "done" if before else None
        if copy.recorded:
            if known.startswith("done:"):
                if known == f"done:{copy.print}" and copy.work:
                    self.answers(end)
                return "done" if known == f"done:{copy.print}" else "conflict"
            self.once[copy.work_id] = f"done:{copy.print}"
            self.results[copy.id] = result_of(end)
        if end.effect:
            self.effects[copy.work_id] += 1
        if end.child is not None:
            self.bears(end.child)
        return None

    def bears(self, child: Copy) -> None:
        self.push(child)
        self.wrote("published", child.tag)

    def answers(self, end: End) -> None:
        """The caller of a message that has another id than its work, which was done before."""
        self.results.setdefault(end.copy.id, result_of(end))

    def fails(self, end: End) -> None:
        """Its caller hears of it, unless it succeeded before; an errback is called."""
        if '"SUCCESS"' not in self.results.get(end.copy.id, ""):
            self.results[end.copy.id] = result_of(end)
        if end.child is not None:
            self.bears(end.child)

    def store(self, end: End, fence: int | None) -> bool:
        """Its end, ahead of its outcome: a chord looks at once."""
        if not self.ours(end.copy.tag, fence):
            return False
        work_id = end.copy.work_id if end.copy.recorded and end.ran else end.copy.id
        if not self.once.get(work_id, "").startswith("done:") and '"SUCCESS"' not in self.results.get(end.copy.id, ""):
            self.results[end.copy.id] = result_of(end)
        return True

    def renew(self, held: dict[str, int], fence: int, *, over: bool) -> list[str]:
        lost = [tag for tag, old in held.items() if not self.ours(tag, old)]
        for tag in held.keys() - lost:
            self.leases[tag].fence, self.leases[tag].over = fence, over
        return lost

    def release(self, given: list[tuple[str, int, str]]) -> int:
        """`how`: "" not started, "counted" as started, or the "culprit" for which its worker ends."""
        back = 0
        for tag, fence, how in given:
            if self.ours(tag, fence) and tag in self.unacked:
                if how == "culprit":
                    self.starts[tag] = self.starts.get(tag, 0) % PROVEN + PROVEN
                elif how == "counted":
                    self.starts[tag] = self.starts[tag] % PROVEN - 1
                self.put_first(self.unacked.pop(tag))
                del self.leases[tag]
                self.wrote("returned", tag)
                back += 1
        return back

    def restore(self) -> int:
        back = 0
        for tag in sorted((one for one, lease in self.leases.items() if lease.over), key=self.deadline):
            if tag in self.unacked:
                self.starts.setdefault(tag, 0)
                self.wrote("returned", tag)
                self.put_first(self.unacked.pop(tag))
                back += 1
            del self.leases[tag]
        return back

    def deadline(self, tag: str) -> tuple[int, str]:
        return self.leases[tag].fence, tag

    # Stock workers, as kombu keeps their messages

    def stock_claim(self, names: list[str]) -> Copy | None:
        for name in names:
            if self.lists[name]:
                copy = self.lists[name].pop(0)
                self.unacked[copy.tag] = copy
                self.index.add(copy.tag)
                return copy
        return None

    def stock_acknowledge(self, tag: str) -> None:
        self.index.discard(tag)
        self.unacked.pop(tag, None)

    def stock_restore(self, tag: str, raw: bytes) -> None:
        self.index.discard(tag)
        copy = self.unacked.pop(tag, None)
        if copy is not None:
            self.put_first(replace(copy, raw=raw, kind=READABLE))

    # Dead letters

    def replay(self, queue: str, number: int, copy: Copy) -> None:
        _, _, old = self.letters[queue].pop(number)
        self.starts.pop(old.tag, None)
        self.push(copy)
        self.wrote("replayed", copy.tag)

    def drop(self, queue: str, number: int) -> Copy:
        raw, reason, copy = self.letters[queue].pop(number)
        if raw and reason != "conflict":
            self.forget(copy)
        self.wrote("dropped", copy.tag if raw and copy.kind != GARBAGE else "")
        return copy

    def redis(self) -> dict[str, Any]:
        """What there should be, as `seen` of the workers' tests shows it."""
        return {
            "lists": {name: [copy.raw for copy in copies] for name, copies in self.lists.items() if copies},
            "due": {copy.list.encode() + b"\n" + copy.raw for copy in self.due},
            "unacked": {tag: copy.raw for tag, copy in self.unacked.items()},
            "leases": {tag: lease.fence for tag, lease in self.leases.items()},
            "index": self.index,
            "starts": self.starts,
            "once": self.once,
            "results": self.results,
            "effects": {name: number for name, number in self.effects.items() if number},
            "letters": {q: [(raw, why) for raw, why, _ in ones] for q, ones in self.letters.items() if ones},
        }
