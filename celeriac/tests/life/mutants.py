"""Every guard of the transport, how it is taken out, and the test that goes red then."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from celeriac.tests.broker import test_removal as removals
from celeriac.tests.claim import test_claim_script as claiming
from celeriac.tests.claim import test_pauses as pausing
from celeriac.tests.claim import test_revocations as revoking
from celeriac.tests.dead_letter import test_replay as replays
from celeriac.tests.lease import test_lease_scripts as leasing
from celeriac.tests.life import test_hiccups as hiccups
from celeriac.tests.life import test_steps as stepping
from celeriac.tests.life import test_trim as trimming
from celeriac.tests.outcome import test_callbacks as telling
from celeriac.tests.outcome import test_committer as committing
from celeriac.tests.outcome import test_outcome_script as ending
from celeriac.tests.outcome import test_unclaimed as without
from celeriac.tests.publish import test_publish_script as publishing
from celeriac.tests.run import test_guard as guarding
from celeriac.tests.run import test_intake as taking
from celeriac.tests.run import test_runner as running

from celeriac.outcome.commit import Commit


@dataclass(frozen=True)
class Mutant:
    guard: str
    """`<script>` or `<class>.<method>`, and what it sees to."""
    there: str
    instead: str
    test: Callable[..., None]
    with_: dict[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return self.guard.partition(":")[0]


# fmt: off
CLAIM = [
    Mutant(
        "claim: what cannot be read is looked at in safety",
        "pcall(cjson.decode, raw)", "true, cjson.decode(raw)",
        claiming.test_it_becomes_a_dead_letter_alone_and_its_neighbours_are_taken, {"raw": b"hello"},
    ),
    Mutant(
        "claim: what cannot be read is kept",
        "bury(stream, i, raw, 'undecodable', 'not a message that Celery could have sent')", "",
        claiming.test_it_becomes_a_dead_letter_alone_and_its_neighbours_are_taken, {"raw": b"hello"},
    ),
    Mutant(
        "claim: messages leave their list last",
        "got, more = oldest(list)",
        "got, more = oldest(list); redis.call('LTRIM', list, 0, -(want + 1))",
        claiming.test_an_error_in_the_middle_takes_no_message_away,
    ),
    Mutant(
        "claim: as many leave as were looked at",
        "redis.call('LTRIM', list, 0, -(#got + 1))", "redis.call('LTRIM', list, 0, -(#got + 2))",
        claiming.test_no_more_are_taken_than_were_asked_for_over_all_lists,
    ),
    Mutant(
        "claim: it ends at a megabyte",
        "bytes + #raw > MOST_BYTES", "false",
        claiming.test_a_claim_ends_at_a_megabyte_and_takes_one_message_at_least, {"sizes": [400_000] * 10, "taken": 2},
    ),
    Mutant(
        "claim: but takes one message at least",
        "if bytes > 0 and bytes +", "if bytes +",
        claiming.test_a_claim_ends_at_a_megabyte_and_takes_one_message_at_least, {"sizes": [5_000_000, 10], "taken": 1},
    ),
    Mutant(
        "claim: and what comes later waits for the rest",
        "> MOST_BYTES then return got, 1 end", "> MOST_BYTES then return got, 0 end",
        claiming.test_where_the_size_ends_it_no_later_list_is_served_before_the_rest,
    ),
    Mutant(
        "claim: it says whether messages are left",
        "redis.call('EXISTS', unpack(open))", "0",
        claiming.test_it_says_whether_messages_are_left, {"want": 2, "left": True},
    ),
    Mutant(
        "claim: not where nothing is claimed from",
        "if not closed[i] then", "if true then",
        claiming.test_what_it_does_not_claim_from_is_not_left,
    ),
    Mutant(
        "claim: of all lists together",
        "if want <= 0 or more == 1 or filled", "bytes = 0; if want <= 0 or filled",
        claiming.test_the_size_is_of_all_lists_together,
    ),
    Mutant(
        "claim: all that is there, in steps",
        "if #piece < step then break end", "do break end",
        claiming.test_a_claim_ends_at_a_megabyte_and_takes_one_message_at_least, {"sizes": [10] * 100, "taken": 100},
    ),
    Mutant(
        "claim: no more than was asked for",
        "want = want - #got", "want = want - 0",
        claiming.test_no_more_are_taken_than_were_asked_for_over_all_lists,
    ),
    Mutant(
        "claim: it is registered",
        "if #entries > 0 then redis.call('HSET', unacked, unpack(entries)) end", "",
        claiming.test_a_message_is_registered_as_kombu_does_it_and_leased_until_the_fence,
    ),
    Mutant(
        "claim: for the time of a lease",
        "string.format('%.0f', now + ARGV[2])", "string.format('%.0f', now)",
        claiming.test_what_was_just_claimed_is_not_over,
    ),
    Mutant(
        "claim: a tag that is held is not taken over",
        "if holders[m] then drop(m, holders[m]) end", "",
        claiming.test_a_message_with_the_tag_of_one_in_another_list_does_not_take_its_place,
    ),
    Mutant(
        "claim: NX, also where a stock worker erased the registration",
        "redis.call('ZADD', leases, 'NX', ", "redis.call('ZADD', leases, ",
        claiming.test_a_lease_is_not_taken_over_where_a_stock_worker_erased_the_registration,
    ),
    Mutant(
        "claim: and it is told",
        "~= fence then drop(m) end", "~= fence then end",
        claiming.test_a_lease_is_not_taken_over_where_a_stock_worker_erased_the_registration,
    ),
    Mutant(
        "claim: nor over what a stock worker holds",
        "if holders[m] then drop(m, holders[m]) end", "",
        claiming.test_a_message_with_the_tag_of_one_that_a_stock_worker_holds_does_not_take_its_place,
    ),
    Mutant(
        "claim: a time that cannot be read is not now",
        "if not eta then return nil end", "if not eta then return tag, nil, true end",
        claiming.test_a_time_that_cannot_be_read_is_never_early, {"eta": "tomorrow"},
    ),
    Mutant(
        "claim: one tag once in a batch",
        "if first[tag] < m then", "if false then",
        claiming.test_of_two_messages_with_one_tag_in_a_batch_the_first_is_taken,
    ),
    Mutant(
        "claim: a tag with a quote in it is read as a whole",
        "%w+%-%w+%-%w+%-%w+%-$", "........................$",
        claiming.test_what_looks_like_a_tag_and_has_a_quote_in_it_is_read_as_a_whole,
    ),
    Mutant(
        "claim: only the message's own eta counts",
        """not at or find(raw, '"eta"', 1, true) < at""", "not at",
        claiming.test_only_its_own_eta_counts, {"place": "after"},
    ),
    Mutant(
        "claim: where there are two, it is read as a whole",
        "return not (", "return true or (",
        claiming.test_only_its_own_eta_counts, {"place": "before"},
    ),
    Mutant(
        "claim: what says that it has to wait is not taken",
        "elseif later then", "elseif false then",
        claiming.test_a_message_whose_time_is_ahead_waits_with_it,
    ),
    Mutant(
        "claim: what waits is taken at its time, not before",
        "redis.call('ZRANGEBYSCORE', due, '-inf', now, ", "redis.call('ZRANGEBYSCORE', due, '-inf', '+inf', ",
        claiming.test_it_is_not_taken_a_moment_before,
    ),
    Mutant(
        "claim: and only once",
        "redis.call('ZREM', due, member)", "",
        claiming.test_it_is_taken_next_when_its_time_has_come,
    ),
    Mutant(
        "claim: full dead letters stop it",
        ">= tonumber(ARGV[3])", ">= math.huge",
        claiming.test_at_the_bound_of_dead_letters_a_queue_is_no_longer_claimed_from, {"bound": 2, "taken": 0},
    ),
    Mutant(
        "claim: it tells who was taken back before",
        "if count then", "if false then",
        claiming.test_only_what_was_taken_back_before_has_starts,
    ),
    Mutant(
        "claim: a write that frees comes first",
        "redis.call('HDEL', starts, '')", "redis.call('PING')",
        claiming.test_a_full_redis_lets_messages_be_taken,
    ),
]

OUTCOME = [
    Mutant(
        "outcome: the fence, where somebody else has the message",
        "tonumber(deadlines[i]) == tonumber(fence)", "true",
        ending.test_a_stale_outcome_changes_nothing_and_cannot_erase_the_new_owners_registration, {"make": Commit},
    ),
    Mutant(
        "outcome: the fence, hidden by the record: a retry has none",
        "tonumber(deadlines[i]) == tonumber(fence)", "true",
        ending.test_a_stale_retry_does_not_double_the_message,
    ),
    Mutant(
        "outcome: the fence, where nobody has the message",
        "deadlines[i] and (deadlines[i] == fence or",
        "not deadlines[i] or (deadlines[i] == fence or",
        ending.test_an_outcome_that_is_sent_twice_has_its_effect_once_also_without_a_record,
    ),
    Mutant(
        "outcome: what has no claim is done once, also without a record",
        "redis.call('EXISTS', tags[i]) == 0", "true",
        without.test_where_the_answer_is_lost_it_happens_once, {"end": without.plain, "times": 1},
    ),
    Mutant(
        "outcome: the mark of it, also of a letter",
        "redis.call('SET', tags[i], '', 'EX', MARK_SECONDS)", "",
        without.test_where_the_answer_is_lost_it_happens_once, {"end": without.recorded_letter, "times": 1},
    ),
    Mutant(
        "outcome: a mark is for one commit",
        "fence == NO_CLAIM then return tags[i] == '' or", "fence == NO_CLAIM then return",
        without.test_what_has_a_record_looks_at_no_mark,
    ),
    Mutant(
        "outcome: the record",
        "if was == value then return true end", "if was == value then return false end",
        ending.test_what_was_done_before_is_acknowledged_and_nothing_more,
    ),
    Mutant(
        "outcome: the record, within one batch",
        "if was == value then return true end", "if was == value then return false end",
        ending.test_two_of_one_id_in_a_batch_have_one_effect,
    ),
    Mutant(
        "outcome: a failure of what was done before is none",
        "if value == '' then return ", "if value == '' then return false end if false then return ",
        ending.test_a_failure_of_what_was_done_before_changes_nothing, {"letter_too": True},
    ),
    Mutant(
        "outcome: and a failure leaves no record",
        "if value == '' then", "if false then",
        ending.test_a_failure_of_what_was_never_done_leaves_no_record, {"was": b"queued:1"},
    ),
    Mutant(
        "outcome: who asked again under another id gets a result",
        "if result ~= '' and not finished(result) then", "if false then",
        ending.test_who_asked_for_it_again_gets_a_result_and_the_work_is_not_done_again,
    ),
    Mutant(
        "outcome: but none over a result that is there",
        "and not finished(result) then", "then",
        ending.test_what_finished_under_its_own_id_stays, {"state": "FAILURE"},
    ),
    Mutant(
        "outcome: what the work publishes is not published again with it",
        "publish(rest + 1 + 2 * words[rest], last)", "publish(rest + 1, last)",
        ending.test_who_asked_for_it_again_gets_a_result_and_the_work_is_not_done_again,
    ),
    Mutant(
        "outcome: what hangs on the message is",
        "publish(rest + 1 + 2 * words[rest], last)", "",
        ending.test_who_asked_for_it_again_gets_a_result_and_the_work_is_not_done_again,
    ),
    Mutant(
        "outcome: what the work put off is not put off again",
        "if failed then put_off(p) end", "put_off(p)",
        ending.test_who_asked_for_it_again_gets_a_result_and_the_work_is_not_done_again,
    ),
    Mutant(
        "outcome: its retry is",
        "if failed then put_off(p) end", "",
        ending.test_where_the_repeat_fails_its_retry_waits_and_there_is_no_letter,
    ),
    Mutant(
        "outcome: under the work's own id nothing happens",
        "if follow > PLAIN and words[rest] ~= -1 then answer", "if follow > PLAIN then answer",
        ending.test_a_failure_of_what_was_done_before_changes_nothing, {"letter_too": True},
    ),
    Mutant(
        "outcome: another payload is a conflict",
        "return 'conflict'", "return false",
        ending.test_the_record_of_another_payload_is_a_conflict_and_stays,
    ),
    Mutant(
        "outcome: and the record that stood there stays",
        "redis.call('SET', key, was, 'PX', ms)", "",
        ending.test_the_record_of_another_payload_is_a_conflict_and_stays,
    ),
    Mutant(
        "outcome: what publish once wrote is no record",
        "string.sub(was, 1, 5) ~= 'done:' then return false", "false then return false",
        ending.test_what_publish_once_wrote_is_no_record,
    ),
    Mutant(
        "outcome: types are looked at before anything is applied",
        "there ~= 'none' and there ~= kind", "false",
        ending.test_an_effect_on_another_type_leaves_everything_undone, {"name": "SADD", "kind": "hash"},
    ),
    Mutant(
        "outcome: numbers too",
        "return not text or (", "return true or (",
        ending.test_what_cannot_be_counted_up_leaves_everything_undone, {"text": "abc"},
    ),
    Mutant(
        "outcome: numbers that would overflow too",
        "and #text < 17", "",
        ending.test_what_cannot_be_counted_up_leaves_everything_undone, {"text": "9223372036854775807"},
    ),
    Mutant(
        "outcome: effects are looked at as those before them leave things",
        "kinds[key] = kind", "kinds[key] = kinds[key]",
        ending.test_effects_that_do_not_fit_together_leave_everything_undone,
        {"wanted": [("SADD", "k", "v"), ("HSET", "k", "f", "v")]},
    ),
    Mutant(
        "outcome: numbers too, as those before leave them",
        "values[key] = effect[3]", "values[key] = nil",
        ending.test_effects_that_do_not_fit_together_leave_everything_undone,
        {"wanted": [("SET", "k", "abc"), ("INCRBY", "k", 1)]},
    ),
    Mutant(
        "outcome: scores are numbers",
        "good = good and score and score == score", "",
        ending.test_effects_that_do_not_fit_together_leave_everything_undone,
        {"wanted": [("ZADD", "k", float("nan"), "m")]},
    ),
    Mutant(
        "outcome: what it publishes to is a list",
        "problem = problem or look('list', words[c])", "",
        ending.test_what_cannot_be_published_leaves_everything_undone, {"where": "mail"},
    ),
    Mutant(
        "outcome: an error in one leaves no neighbour half done",
        "pcall(commit, i)", "true, commit(i)",
        committing.test_neighbours_without_a_record_have_their_effect_once_all_the_same,
    ),
    Mutant(
        "outcome: what was done before need not fit again",
        ", 1, 5) ~= 'done:' then\n          for k", ", 1, 5) ~= 'other' then\n          for k",
        ending.test_a_duplicate_is_done_even_where_its_effects_would_not_fit_any_more,
    ),
    Mutant(
        "outcome: a dead letter is the message, not its registration",
        """string.match(entry, '^%[(.*),"",".*"%]$') or entry""", "entry",
        ending.test_a_dead_letter_is_the_message_byte_for_byte, {"raw": claiming.message()},
    ),
    Mutant(
        "outcome: the lease ends, or what is sent again is done again",
        "redis.call('ZREM', leases, unpack(mine))", "",
        ending.test_an_outcome_that_is_sent_twice_has_its_effect_once_also_without_a_record,
    ),
    Mutant(
        "outcome: the registration ends",
        "redis.call('HDEL', unacked, unpack(mine))", "",
        ending.test_a_plain_acknowledgement_leaves_nothing,
    ),
    Mutant(
        "outcome: counted starts end",
        "redis.call('HDEL', starts, unpack(mine))", "",
        ending.test_the_counted_starts_of_what_ended_are_forgotten,
    ),
    Mutant(
        "outcome: a retry waits for its time",
        "now + words[k + 2]", "now + 0",
        ending.test_a_retry_that_waits_is_not_early,
    ),
    Mutant(
        "outcome: a write that frees comes first",
        "redis.call('HDEL', starts, '')", "redis.call('PING')",
        ending.test_a_full_redis_takes_outcomes_whole,
    ),
]

FENCE = "tonumber(deadline) == tonumber(ARGV[i + 1])"
LEASES = [
    Mutant(
        "renew: a write that frees comes first",
        "redis.call('ZREM', KEYS[1], '')", "redis.call('PING')",
        leasing.test_a_full_redis_renews,
    ),
    Mutant(
        "start: a write that frees comes first",
        "redis.call('HDEL', KEYS[1], '')", "redis.call('PING')",
        leasing.test_a_full_redis_counts_starts,
    ),
    Mutant(
        "renew: only what is ours",
        FENCE, "true",
        leasing.test_a_lease_that_is_not_ours_is_told_and_left_alone, {"theirs": True},
    ),
    Mutant(
        "renew: nothing that is nobody's",
        f"deadline and {FENCE}", "true",
        leasing.test_a_lease_that_is_not_ours_is_told_and_left_alone, {"theirs": False},
    ),
    Mutant(
        "start: only of what is ours",
        "tonumber(deadline) ~= tonumber(ARGV[2])", "false",
        leasing.test_a_start_of_what_is_not_ours_any_more_is_not_counted,
    ),
    Mutant(
        "start: it is counted",
        "redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[3])", "1",
        leasing.test_starts_are_counted_up_and_the_record_is_told,
    ),
    Mutant(
        "release: only what is ours",
        f"deadline and {FENCE} and", "deadline and",
        leasing.test_only_what_is_ours_can_be_given_back,
    ),
    Mutant(
        "release: the next start counts of a message for which its worker ends",
        "if ARGV[i + 3] == '1' then", "if false then",
        leasing.test_a_message_for_which_its_worker_ends_starts_next_as_one_whose_death_that_was,
    ),
    Mutant(
        "release: starts that were counted before are kept",
        "PROVEN + counted", "PROVEN",
        leasing.test_starts_that_were_counted_before_are_kept_and_a_stop_takes_one_back,
        {"how": "1", "before": "3", "after": 1_000_003},
    ),
    Mutant(
        "release: a stop takes a start back",
        "if ARGV[i + 3] == '2' and", "if false and",
        leasing.test_starts_that_were_counted_before_are_kept_and_a_stop_takes_one_back,
        {"how": "2", "before": "3", "after": 2},
    ),
    Mutant(
        "release: but none that was not counted",
        "counted > 0", "true",
        leasing.test_a_stop_does_not_make_the_next_start_count,
    ),
    Mutant(
        "release: the lease ends",
        "redis.call('ZREM', KEYS[2], tag)", "",
        leasing.test_what_is_given_back_is_taken_next_and_nothing_of_the_claim_remains,
    ),
    Mutant(
        "state: what was done before keeps its result",
        "== 'done:'", "== 'never:'",
        leasing.test_a_state_of_what_was_done_before_does_not_hide_its_result,
    ),
    Mutant(
        "state: STARTED does not hide what the body said of itself",
        "(was and ARGV[5] == '0' and not REPLACED[was])", "false",
        leasing.test_a_state_replaces_what_is_older_than_it, {"was": "HALFWAY", "end": 0, "stays": True},
    ),
    Mutant(
        "state: but what a run before said of its progress",
        "PROGRESS = 1", "PROGRESSED = 1",
        leasing.test_a_state_replaces_what_is_older_than_it, {"was": "PROGRESS", "end": 0, "stays": False},
    ),
    Mutant(
        "state: a word about progress replaces the one before",
        "ARGV[5] == '0' and", "ARGV[5] ~= '1' and",
        leasing.test_a_state_replaces_what_is_older_than_it, {"was": "HALFWAY", "end": 2, "stays": False},
    ),
    Mutant(
        "state: a success stays",
        "was == 'SUCCESS'", "false",
        leasing.test_a_state_replaces_what_is_older_than_it, {"was": "SUCCESS", "end": 1, "stays": True},
    ),
    Mutant(
        "outcome: a success stays",
        "if not succeeded(result) and succeeded(redis.call('GET', key)) then return end", "",
        ending.test_a_failure_does_not_replace_a_success,
    ),
    Mutant(
        "release: the registration ends",
        "redis.call('HDEL', KEYS[1], tag)", "",
        leasing.test_what_is_given_back_is_taken_next_and_nothing_of_the_claim_remains,
    ),
    Mutant(
        "release: a write that frees comes first",
        "redis.call('HDEL', KEYS[3], '')", "redis.call('PING')",
        leasing.test_a_full_redis_takes_claims_back,
    ),
    Mutant(
        "state: only of what is ours",
        "not deadline or tonumber(deadline) ~= tonumber(ARGV[2])", "false",
        leasing.test_a_state_of_what_is_not_ours_any_more_does_not_hide_what_became_of_it,
    ),
    Mutant(
        "restore: only what is over",
        "'-inf', over, ", "'-inf', '+inf', ",
        leasing.test_only_what_is_over_goes_back,
    ),
    Mutant(
        "restore: the next start counts",
        "redis.call('HSETNX', KEYS[3], tag, 0)", "",
        leasing.test_its_next_start_counts_and_those_counted_before_are_kept,
    ),
    Mutant(
        "restore: starts that were counted before are kept",
        "redis.call('HSETNX', KEYS[3], tag, 0)", "redis.call('HSET', KEYS[3], tag, 0)",
        leasing.test_its_next_start_counts_and_those_counted_before_are_kept,
    ),
    Mutant(
        "restore: it goes to the list of its priority",
        "list_of(queue, raw), raw", "queue, raw",
        leasing.test_what_is_over_goes_back_to_the_list_of_its_priority_and_is_taken_next, {"priority": 5},
    ),
    Mutant(
        "restore: the lease ends, or who stalled could still commit",
        "redis.call('ZREM', KEYS[2], tag)", "",
        ending.test_a_stale_retry_does_not_double_the_message,
    ),
    Mutant(
        "restore: the registration ends",
        "raw)\n    redis.call('HDEL', KEYS[1], tag)", "raw)",
        leasing.test_what_is_over_goes_back_to_the_list_of_its_priority_and_is_taken_next, {"priority": 0},
    ),
    Mutant(
        "restore: a write that frees comes first",
        "redis.call('HDEL', KEYS[3], '')", "redis.call('PING')",
        leasing.test_a_full_redis_gives_back,
    ),
]

PUBLISH = [
    Mutant(
        "publish: an id is published once",
        "local was = life > 0 and", "local was = false and",
        publishing.test_a_message_is_pushed_once_and_a_repeat_is_told_so,
    ),
    Mutant(
        "publish: which is remembered",
        "redis.call('SET', once, seen[id], 'PX', ARGV[2])", "",
        publishing.test_a_message_is_pushed_once_and_a_repeat_is_told_so,
    ),
    Mutant(
        "publish: also within one chunk",
        "(seen[id] or redis.call", "(redis.call",
        publishing.test_twins_within_a_chunk_are_one,
    ),
    Mutant(
        "publish: what is done is known by its record",
        "was == 'done:' .. print", "false",
        publishing.test_what_is_done_already_is_known_by_its_record, {"record": "done:print-", "answer": 0},
    ),
    Mutant(
        "publish: another payload is a conflict",
        "and 0 or -2", "and 0 or 0",
        publishing.test_other_work_under_the_same_id_is_a_conflict,
    ),
    Mutant(
        "publish: what has no message any more is told so",
        "ids[id] and 0 or 2", "0",
        publishing.test_what_was_removed_by_hand_is_missing_and_not_published_again,
    ),
    Mutant(
        "publish: what is claimed is there",
        "{'HVALS', 'unacked'}, ", "",
        publishing.test_what_somebody_holds_is_found, {"spell": bytes.decode},
    ),
    Mutant(
        "publish: what is due is there",
        "{'ZRANGE', due, 0, -1}, ", "",
        publishing.test_what_is_due_later_is_found,
    ),
    Mutant(
        "publish: what is dead is there",
        ", {'XRANGE', dead, '-', '+'}}", "}",
        publishing.test_what_died_is_found,
    ),
    Mutant(
        "publish: too much is not looked at",
        "if total > LOOKED_AT then return nil end", "",
        publishing.test_where_too_much_lies_around_it_is_not_looked_for,
    ),
    Mutant(
        "publish: nobody looks for an id that is spelt in several ways",
        "(not ids or string.find(id, '[^%w_.:-]'))", "(not ids)",
        publishing.test_an_id_that_may_be_spelt_in_several_ways_is_not_looked_for, {"task_id": "\u00e9"},
    ),
    Mutant(
        "publish: what may not be read is not taken for empty",
        "if entries.err then return nil end", "",
        publishing.test_who_may_not_look_is_not_refused, {"denied": "hvals"},
    ),
    Mutant(
        "publish: the bound",
        "bound > 0 and taken + #new >= bound", "false",
        publishing.test_the_bound_counts_the_lists_of_all_priorities,
    ),
    Mutant(
        "publish: the bound, within one chunk",
        "taken + #new >= bound", "taken >= bound",
        publishing.test_the_bound_counts_the_lists_of_all_priorities,
    ),
    Mutant(
        "publish: its first write is one that a full Redis refuses",
        "local member = queue", "redis.call('HDEL', 'celery-starts', ''); local member = queue",
        publishing.test_a_full_redis_refuses_it_as_a_whole, {"due": 0},
    ),
    Mutant(
        "publish: the first message of a publisher declares its queue",
        "if waiting == 0 or ARGV[5] == '0' then", "if waiting == 0 then",
        publishing.test_it_is_declared_with_the_first_message_of_a_publisher_and_where_nothing_waits,
        {"declared": False, "waiting": True, "again": 1},
    ),
    Mutant(
        "publish: where nothing waits, the queue is declared again",
        "if waiting == 0 or ARGV[5] == '0' then", "if ARGV[5] == '0' then",
        publishing.test_it_is_declared_with_the_first_message_of_a_publisher_and_where_nothing_waits,
        {"declared": True, "waiting": False, "again": 1},
    ),
    Mutant(
        "publish: where the push is refused, nothing is remembered",
        "if #written > 0 then", "if false then",
        publishing.test_who_may_not_write_everything_writes_nothing, {"denied": "lpush", "due": 0},
    ),
    Mutant(
        "publish: a marker does not replace a result",
        "'NX', 'PX'", "'PX'",
        publishing.test_a_marker_is_stored_with_the_push_unless_something_is_there,
    ),
    Mutant(
        "replay: what is no letter any more is not replayed",
        "then return 0 end", "then end",
        leasing.test_what_was_replayed_is_no_letter_and_not_replayed_again,
    ),
    Mutant(
        "replay: it is no letter any more",
        "redis.call('XDEL', KEYS[1], ARGV[1])", "",
        replays.test_a_replayed_letter_is_a_message_of_its_queue_and_no_letter_any_more,
    ),
    Mutant(
        "replay: the push comes first",
        "redis.call('LPUSH', KEYS[2], ARGV[2])",
        "redis.call('XDEL', KEYS[1], ARGV[1]); redis.call('LPUSH', KEYS[2], ARGV[2])",
        replays.test_what_is_no_list_keeps_the_letter,
    ),
    Mutant(
        "replay: nothing remains of its starts",
        "redis.call('HDEL', KEYS[3], ARGV[3])", "",
        replays.test_a_replayed_letter_is_a_message_of_its_queue_and_no_letter_any_more,
    ),
]

WORKER = [
    Mutant(
        "unclaimed.publish_ahead_of: an outcome that is on its way sends what is its own",
        "commit.sealed or not", "not",
        without.test_a_thread_sends_ahead_what_leads_to_its_task_and_nothing_else,
    ),
    Mutant(
        "unclaimed._mentions: a later part of a chain stands in the body",
        "return task_id in (body.encode() if isinstance(body, str) else body)", "return False",
        without.test_a_thread_sends_ahead_what_leads_to_its_task_and_nothing_else,
    ),
    Mutant(
        "committer._send: what cannot be sent does not stop the rest",
        "except (RedisError, ValueError, TypeError) as exc:", "except KeyError as exc:",
        committing.test_what_cannot_be_sent_becomes_a_letter_and_its_neighbours_are_committed,
        {"wanted": [("SET", "k", None)]},
    ),
    Mutant(
        "committer._send: a connection that Redis refuses is no fault of the outcomes",
        "except (RedisError, OSError) as exc:", "except (Lost, OSError) as exc:",
        hiccups.test_an_outcome_is_kept_while_redis_refuses_a_new_connection, {"error": hiccups.BUSY},
    ),
    Mutant(
        "delivery.pump: an error of the broker is no fault of the message",
        "if of_the_broker(exc):", "if False:",
        hiccups.test_an_error_of_the_broker_while_a_message_is_handed_over_is_not_the_messages,
        {"error": hiccups.BUSY},
    ),
    Mutant(
        "leases.started: no renewal between looking and counting",
        "with self._lock:", "if True:",
        committing.test_a_renewal_under_way_does_not_make_a_claim_worthless, {"what": "started"},
    ),
    Mutant(
        "guard._look: a renewal that was left out is none",
        "self._leases.renew()", "(self._leases.renew() or True)",
        guarding.test_it_lives_on_while_redis_is_away_and_renews_when_it_is_back,
    ),
    Mutant(
        "committer._send_again: what had no answer is sent again",
        "self._unknown.extendleft(reversed(self._under_way))", "pass",
        committing.test_where_the_request_is_lost_the_outcome_is_sent_again,
    ),
    Mutant(
        "committer._send_again: all of it, the oldest first",
        "reversed(self._under_way)", "self._under_way",
        committing.test_where_redis_has_heard_only_the_first_calls_all_are_sent_again_in_their_order, {"heard": 0},
    ),
    Mutant(
        "committer._send: few calls are under way",
        "len(self._under_way) >= MOST_CALLS or", "",
        committing.test_whoever_sends_more_waits_for_the_oldest_answer,
    ),
    Mutant(
        "committer._send: as long as there are few, nobody waits",
        "(len(self._under_way) >= MOST_CALLS or self.connection.arrived)", "True",
        committing.test_nobody_waits_for_an_answer_while_few_calls_are_under_way,
    ),
    Mutant(
        "committer._send: what has arrived is read",
        "or self.connection.arrived", "",
        committing.test_an_answer_that_has_arrived_is_read_with_the_next_call,
    ),
    Mutant(
        "committer._not_taken: what was sent later is answered before anything is sent again",
        "self._read_all()", "pass",
        committing.test_a_script_flush_between_two_calls_changes_neither_number_nor_order, {"known": 0},
    ),
    Mutant(
        "committer._read_all: all of them",
        "while self._under_way:", "if self._under_way:",
        committing.test_what_is_asked_behind_several_calls_gets_its_own_answer,
    ),
    Mutant(
        "connection.pause: what failed together is one attempt",
        "if not self.reachable:", "if False:",
        committing.test_what_redis_refuses_together_is_one_failed_attempt,
    ),
    Mutant(
        "connection.arrived: a connection that is closed is not opened again",
        "not self._connection.is_connected or", "",
        committing.test_a_connection_that_closes_beneath_us_is_not_taken_for_a_new_one,
    ),
    Mutant(
        "connection.send: redis-py reads no answer of ours",
        "check_health=False", "",
        committing.test_redis_py_does_not_ask_in_between_whether_the_connection_lives,
    ),
    Mutant(
        "committer._send: and before what was finished later",
        "self._unknown.popleft() if again else self._next_batch()",
        "self._next_batch() or (self._unknown.popleft() if self._unknown else [])",
        committing.test_an_outcome_of_unknown_fate_goes_before_what_was_finished_later,
    ),
    Mutant(
        "connection.reachable: nobody waits for a Redis that is away",
        "monotonic() >= self._away_until", "True",
        committing.test_the_next_attempt_waits_longer_each_time_up_to_two_seconds,
    ),
    Mutant(
        "connection.ask: answers are read in their order",
        "self.read_unread()", "pass",
        committing.test_what_is_asked_after_an_outcome_gets_its_own_answer,
    ),
    Mutant(
        "committer._next_batch: one end for each message",
        "held.pop(commit.tag, None)", "held.get(commit.tag)",
        committing.test_of_two_ends_of_one_message_the_first_counts,
    ),
    Mutant(
        "committer._next_batch: what is not held is not sent",
        "continue", "one = Lease(0, '')",
        committing.test_what_came_from_nowhere_is_refused_and_not_sent,
    ),
    Mutant(
        "committer._next_batch: not more messages than a script may have",
        "len(batch) < MOST_COMMITS", "True",
        committing.test_no_batch_is_larger_than_a_script_may_be,
    ),
    Mutant(
        "committer._next_batch: not more bytes",
        "size < MOST_BYTES", "True",
        committing.test_no_batch_is_larger_than_a_script_may_be,
    ),
    Mutant(
        "leases.renew: what is somebody else's is let go",
        "self.held.pop(tag, None)", "pass",
        committing.test_a_lease_lost_at_a_renewal_is_let_go_and_a_later_outcome_is_refused_and_counted,
    ),
    Mutant(
        "leases.renew: the new fence is known",
        "self.held[tag] = Lease(fence.decode(), one.list_key)", "pass",
        committing.test_a_renewal_makes_new_fences_and_the_outcome_knows_them,
    ),
    Mutant(
        "leases.renew: what was given back meanwhile is not held again",
        "elif tag in self.held:", "else:",
        committing.test_a_message_that_was_given_back_while_a_renewal_was_under_way_is_not_held_again,
    ),
    Mutant(
        "leases.release: no renewal between looking and giving back",
        "with self._lock:", "if True:",
        committing.test_a_renewal_under_way_does_not_make_a_claim_worthless, {"what": "release"},
    ),
    Mutant(
        "leases.release: what is given back is not held any more",
        "self.held.pop(tag, None)", "self.held.get(tag)",
        committing.test_what_could_not_be_given_back_comes_back_when_its_lease_is_over,
    ),
    Mutant(
        "leases.release: it says whether the body had started",
        "1 if started else", "",
        committing.test_only_what_its_worker_ended_for_counts_when_it_starts_again,
        {"started": True, "expected": {"1000000"}},
    ),
    Mutant(
        "leases.release: a start that was counted is taken back",
        "2 if tag in self.counted else 0", "0",
        committing.test_a_start_that_was_counted_is_taken_back_with_the_claim,
    ),
    Mutant(
        "leases.started: a start that was refused is none",
        "answer[0] >= 0", "True",
        committing.test_a_start_that_was_refused_is_not_taken_back,
    ),
    Mutant(
        "committer._next_batch: a start that ended is not taken back",
        "counted.discard(commit.tag)", "pass",
        committing.test_a_start_that_ended_is_not_taken_back,
    ),
    Mutant(
        "committer.store: what is somebody else's has ended here",
        "self.leases.held.pop(commit.tag, None)", "pass",
        telling.test_a_chord_is_told_only_by_who_holds_its_part,
    ),
    Mutant(
        "committer._follow: nothing follows what did not happen",
        "commit.verdict is Verdict.COMMITTED", "True",
        telling.test_nothing_follows_what_is_refused_and_whoever_listens_hears_of_that,
    ),
    Mutant(
        "committer._call_back: without the lock",
        "self._ended and", "False and",
        telling.test_what_follows_a_commit_follows_it,
    ),
    Mutant(
        "committer._state: only of what is held",
        "held is None", "False",
        committing.test_a_state_is_shown_only_of_what_is_held,
    ),
    Mutant(
        "committer._not_taken: after SCRIPT FLUSH it is loaded and sent again",
        "self._unknown.appendleft(batch)\n        self._load()", "pass",
        committing.test_after_a_script_flush_everything_goes_on,
    ),
    Mutant(
        "committer._not_taken: where Redis takes no writes for now, later",
        "elif refused_for_now(error):", "elif False:",
        committing.test_a_redis_that_takes_no_writes_for_now_gets_the_outcome_later,
    ),
    Mutant(
        "committer._one_by_one: a poison alone, its neighbours are committed",
        "if len(batch) > 1:", "if False:",
        committing.test_what_cannot_be_sent_becomes_a_letter_and_its_neighbours_are_committed,
        {"wanted": [("SET", "k", None)]},
    ),
    Mutant(
        "committer._give_up: what cannot be committed is held until it is a letter",
        "self.leases.held[commit.tag] = held", "pass",
        committing.test_a_conflict_becomes_a_letter,
    ),
    Mutant(
        "ends.impossible: the record that stands against it does not swallow its letter",
        "letter = Commit(commit.tag, commit.task_id)", "letter = commit",
        committing.test_a_conflict_becomes_a_letter,
    ),
    Mutant(
        "committer._give_up: what cannot even be a letter is let go",
        "continue", "pass",
        committing.test_what_cannot_even_be_a_letter_comes_back_when_its_lease_is_over,
    ),
    Mutant(
        "committer.commit_all: in time",
        "monotonic() + seconds", "monotonic() + 4 * seconds",
        committing.test_commit_all_ends_in_time_where_redis_says_nothing,
    ),
    Mutant(
        "connection.pause: longer each time",
        "self._failures += 1", "pass",
        committing.test_the_next_attempt_waits_longer_each_time_up_to_two_seconds,
    ),
    Mutant(
        "intake.room: who finds no room leaves word",
        "self.pool.hungry = free <= 0", "self.pool.hungry = False",
        taking.test_who_finds_no_room_leaves_word_and_who_finds_some_does_not,
    ),
    Mutant(
        "intake.room: and does so before it looks",
        "self.pool.hungry = True", "pass",
        taking.test_a_task_thread_that_ends_its_work_while_the_consumer_looks_for_room_rings,
    ),
    Mutant(
        "intake._free: what a claim has brought is claimed",
        "+ self.claims.brought", "",
        taking.test_20_ms_of_work_are_claimed_in_advance_wherever_they_are,
    ),
    Mutant(
        "intake._free: a worker that stops does not claim what it gives back",
        "if _told_to_stop():", "if False:",
        taking.test_a_worker_of_celerys_pools_that_is_told_to_stop_claims_nothing, {"how": "should_stop", "code": 0},
    ),
    Mutant(
        "guard._has_nothing: while a message is held, it does not sleep",
        "self._leases.held or", "",
        guarding.test_where_there_is_something_to_watch_over_it_does_not_sleep, {"work": guarding.held},
    ),
    Mutant(
        "guard._has_nothing: nor while one waits for its start",
        "pool.unstarted or", "",
        guarding.test_where_there_is_something_to_watch_over_it_does_not_sleep, {"work": guarding.unstarted},
    ),
    Mutant(
        "guard._has_nothing: nor while a task runs",
        "not any(thread.busy for thread in pool.threads) and", "",
        guarding.test_where_there_is_something_to_watch_over_it_does_not_sleep, {"work": guarding.busy},
    ),
    Mutant(
        "guard._has_nothing: nor while an outcome is on its way",
        "and self._committer.idle", "",
        guarding.test_where_there_is_something_to_watch_over_it_does_not_sleep, {"work": guarding.finished},
    ),
    Mutant(
        "committer.idle: what another thread sends just now counts",
        "return False", "return True",
        guarding.test_where_there_is_something_to_watch_over_it_does_not_sleep, {"work": guarding.being_sent},
    ),
    Mutant(
        "guard.wake: it ends the sleep",
        "self._woken.set()", "pass",
        guarding.test_a_message_wakes_it,
    ),
    Mutant(
        "intake.receive: a message wakes the guard",
        "self.guard.wake()", "pass",
        taking.test_the_guard_wakes_before_a_message_runs_and_after_it_is_held,
    ),
    Mutant(
        "intake.pump: so does a revocation by remote control",
        "self.guard.wake()", "pass",
        taking.test_a_revocation_by_remote_control_wakes_the_guard,
        {"asleep": True, "told": True, "woken": 1},
    ),
    Mutant(
        "guard._look: leases are renewed",
        "self._leases.renew()", "True",
        guarding.test_a_lease_is_renewed_four_times_in_its_life_while_the_body_runs,
    ),
    Mutant(
        "guard._look: what is finished is committed",
        "self._committer.flush()", "pass",
        guarding.test_what_is_finished_is_committed_by_the_guard_where_nobody_else_does,
    ),
    Mutant(
        "guard._look: dead workers' messages are given back",
        "self._restore()", "pass",
        guarding.test_messages_of_dead_workers_are_given_back_at_their_time,
    ),
    Mutant(
        "guard._run: an error does not end it",
        "except Exception as exc:", "except KeyError as exc:",
        guarding.test_an_error_of_ours_does_not_end_it,
    ),
    Mutant(
        "guard._limits: a soft limit",
        "self._pool.interrupt(thread, running)", "False",
        guarding.test_a_soft_limit_interrupts_once,
    ),
    Mutant(
        "guard._limits: a hard limit",
        "self._end(culprits, now)", "pass",
        guarding.test_a_hard_limit_ends_the_process_and_loses_nothing,
    ),
    Mutant(
        "guard._end: what is finished is committed, the rest goes back",
        "self._committer.shut_down(1.0, culprits=[one.tag for one in culprits])", "pass",
        guarding.test_a_hard_limit_ends_the_process_and_loses_nothing,
    ),
    Mutant(
        "committer.shut_down: what is finished is committed first",
        "self.commit_all(seconds)", "True",
        guarding.test_at_a_stop_what_is_finished_is_committed_and_the_rest_goes_back,
    ),
    Mutant(
        "committer.shut_down: the next start of a culprit counts",
        "started=True", "started=False",
        guarding.test_a_hard_limit_ends_the_process_and_loses_nothing,
    ),
    Mutant(
        "guard._end: its neighbours are no culprits",
        "for one in culprits]", "for one in (each.running for each in self._pool.threads)]",
        guarding.test_a_hard_limit_ends_the_process_and_loses_nothing,
    ),
    Mutant(
        "guard._alone: when others run beside it, its death proves nothing",
        "self._leases.started(alone.tag, by=-PROVEN, told=False)", "pass",
        guarding.test_when_its_time_alone_is_over_the_others_start_and_its_death_proves_nothing,
    ),
    Mutant(
        "committer.shut_down: what waits goes back",
        "self.leases.release(list(self.leases.held))", "pass",
        guarding.test_at_a_stop_what_is_finished_is_committed_and_the_rest_goes_back,
    ),
    Mutant(
        "guard._progress: a word waits for its turn",
        "now - running.told_at >= pause", "True",
        guarding.test_the_newest_word_is_sent_five_times_a_second_at_most,
    ),
    Mutant(
        "guard._progress: and is sent once",
        "said is running.told", "False",
        guarding.test_the_newest_word_is_sent_five_times_a_second_at_most,
    ),
    Mutant(
        "guard._progress: unless Redis did not get it",
        "and self._tell(running, said)", "and (self._tell(running, said) or True)",
        guarding.test_a_word_that_redis_did_not_get_is_sent_again,
    ),
    Mutant(
        "guard._waiting: nothing waits behind what runs long",
        "pool.give_back(why", "str(object",
        guarding.test_what_waits_goes_back_when_every_thread_runs_something_long,
        {"ran": [0.2, 0.3], "unstarted": 1, "expected": 1},
    ),
    Mutant(
        "pool._run_jobs: a runner that fails does not end its thread",
        "except BaseException as exc:", "except KeyError as exc:",
        guarding.test_a_runner_that_fails_does_not_take_its_thread_along_and_its_message_goes_back,
    ),
    Mutant(
        "pool._run_jobs: nothing is started at a stop",
        "if self.stopping:", "if False:",
        guarding.test_at_a_stop_nothing_more_is_started,
    ),
    Mutant(
        "runner.run: a message starts as often as it may",
        "start.poison", "False",
        running.test_what_came_back_runs_as_often_as_it_may_and_then_is_a_dead_letter,
    ),
    Mutant(
        "starts.count: what is somebody else's does not run",
        "counted >= 0", "True",
        running.test_what_came_back_and_is_somebody_elses_by_now_does_not_run,
    ),
    Mutant(
        "starts.count: before a risk everything is committed",
        "self._commit_all(1.0)", "pass",
        running.test_before_what_came_back_runs_everything_is_committed,
    ),
    Mutant(
        "runner._failed: what stops a worker counts as a start",
        "started=True", "started=False",
        running.test_what_came_back_runs_as_often_as_it_may_and_then_is_a_dead_letter,
    ),
    Mutant(
        "runner._failed: what failed has no record",
        'commit.record = ""', "commit.record_key, commit.record, commit.record_ms = 'celery-once-a', 'done:', 9",
        running.test_whatever_a_body_raises_ends_its_message_and_not_the_thread, {"error": ValueError("no")},
    ),
]

REMOVE = [
    Mutant(
        "remove: the note goes with a message that waits",
        "    forget(raw)\n    redis.call('RPOP', key)", "    redis.call('RPOP', key)",
        removals.test_the_note_goes_with_the_message,
    ),
    Mutant(
        "remove: and with one that is not yet due",
        "      forget(raw)\n      removed = removed + redis.call('ZREM'", "      removed = removed + redis.call('ZREM'",
        removals.test_what_is_due_is_purged_with_its_note,
    ),
    Mutant(
        "remove: and with a letter",
        "then forget(fields.raw or '') end", "then end",
        removals.test_work_whose_letter_is_dropped_can_be_published_again,
    ),
    Mutant(
        "remove: but not with the letter of a second message",
        """if not string.find(fields.about or '', '"reason": ?"conflict"') then""", "if true then",
        removals.test_the_letter_of_a_second_message_takes_no_note_of_the_first_along,
    ),
    Mutant(
        "remove: of other queues nothing goes",
        "if wanted[list] then", "if true then",
        removals.test_what_is_due_is_purged_with_its_note,
    ),
    Mutant(
        "remove: what is done stays noted",
        "if text(once) ~= 'queued:' .. print then return end", "",
        removals.test_what_is_done_stays_noted,
    ),
    Mutant(
        "remove: and so does other work",
        "if text(once) ~= 'queued:' .. print then return end", "if text(once) == 'done:' .. print then return end",
        removals.test_the_note_of_other_work_under_its_id_stays,
    ),
    Mutant(
        "remove: a result that a worker stored stays",
        """if string.find(text(result), '^{"status": ?"PENDING"') then""", "if true then",
        removals.test_a_result_that_a_worker_stored_stays, {"result": b'{"status": "STARTED"}'},
    ),
    Mutant(
        "remove: what cannot be read holds nothing up",
        "local good, message = pcall(cjson.decode, raw)", "local good, message = true, cjson.decode(raw)",
        removals.test_what_nobody_can_read_is_purged_all_the_same, {"raw": b"hello"},
    ),
    Mutant(
        "remove: in steps",
        "while removed < most and seen < bytes do", "while removed < most do",
        removals.test_large_ones_are_purged_a_few_at_a_time,
    ),
]
# fmt: on

# fmt: off
REVOKE = [
    Mutant(
        "revoke: it is noted",
        "redis.call('ZADD', i <= 4 + ids and KEYS[1] or KEYS[2], stamp, ARGV[i])", "",
        revoking.test_what_a_worker_learns_is_noted_once_and_what_others_noted_is_taken_over,
    ),
    Mutant(
        "revoke: a stamp is no id",
        "i <= 4 + ids and KEYS[1] or KEYS[2]", "KEYS[1]",
        revoking.test_what_a_worker_learns_is_noted_once_and_what_others_noted_is_taken_over,
    ),
    Mutant(
        "revoke: what is older than its life goes",
        "redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', over)", "",
        revoking.test_what_is_older_than_its_life_goes,
    ),
    Mutant(
        "revoke: no more than the bound",
        "redis.call('ZREMRANGEBYRANK', KEYS[i], 0, -1 - ARGV[2])", "",
        revoking.test_memory_is_bounded_there_and_here,
    ),
    Mutant(
        "revoke: a write that frees comes first",
        "redis.call('ZREM', KEYS[1], '')", "redis.call('PING')",
        revoking.test_a_full_redis_takes_revocations_from_workers,
    ),
]
# fmt: on

ADDS = "redis.pcall('XADD', 'celery-life'"
WRITTEN: dict[str, Callable[..., None]] = {
    "publish": stepping.test_a_publish_writes_down_what_is_new,
    "put": stepping.test_what_celery_publishes_is_pushed_and_written_down,
    "claim": stepping.test_a_claim_writes_down_its_tags_by_list_and_the_dead_letters_that_it_leaves,
    "outcome": stepping.test_what_is_sent_again_after_a_lost_answer_says_so,
    "start": stepping.test_a_start_that_counts_is_written_down,
    "state": stepping.test_a_body_that_runs_long_is_written_down_also_where_no_state_is_stored,
    "release": stepping.test_what_goes_back_says_why,
    "restore": stepping.test_what_the_lease_of_a_dead_worker_gives_back_is_written_down,
    "replay": stepping.test_a_dead_letter_that_is_replayed_or_dropped_is_written_down,
    "remove": stepping.test_a_purge_says_how_many,
}
REFUSED = stepping.test_every_step_is_taken_where_redis_refuses_the_record
RECORDS = [
    *(
        Mutant(f"{name}: its step is written down", ADDS, "redis.pcall('EXISTS', 'x'", test)
        for name, test in WRITTEN.items()
    ),
    *(Mutant(f"{name}: its step needs no record", ADDS, ADDS.replace("pcall", "call"), REFUSED) for name in WRITTEN),
    Mutant(
        "publish: of some, those that are new",
        "'n', cmsgpack.pack(new)",
        "'m', ''",
        stepping.test_a_publish_writes_down_what_is_new,
    ),
    Mutant(
        "publish: nothing new is nothing to write down",
        "if #new == 0 then return answers end",
        "",
        stepping.test_a_publish_writes_down_what_is_new,
    ),
    Mutant(
        "claim: only what is claimed",
        "table.remove(tags, m)",
        "",
        stepping.test_of_two_messages_with_one_tag_one_is_claimed,
    ),
    Mutant(
        "outcome: what was refused says so",
        "fields[4] = fields[4] .. one",
        "fields[4] = fields[4]",
        stepping.test_an_outcome_writes_down_what_became_of_each,
    ),
    Mutant(
        "outcome: what was repeated says so",
        "fields[6] = fields[6] .. one",
        "fields[6] = fields[6]",
        stepping.test_an_outcome_writes_down_what_became_of_each,
    ),
    Mutant(
        "outcome: what is not committed is not written down as committed",
        "fields[8] = fields[8] .. left[i]",
        "fields[8] = fields[8]",
        stepping.test_an_outcome_writes_down_what_became_of_each,
    ),
    Mutant(
        "committer._send: what was sent before says so",
        "again=again",
        "again=False",
        stepping.test_what_is_sent_again_after_a_lost_answer_says_so,
    ),
    Mutant(
        "replay: only what is replayed",
        "then return 0 end",
        "then redis.pcall('XADD', 'celery-life', '*', 'y', ARGV[4]) return 0 end",
        stepping.test_a_dead_letter_that_is_replayed_or_dropped_is_written_down,
    ),
    Mutant(
        "claim: the stream is bounded",
        "'MAXLEN', '~', ARGV[4], ",
        "",
        stepping.test_the_stream_has_as_many_entries_as_the_setting_says,
    ),
    Mutant(
        "claim: nothing is claimed from a paused queue",
        "if there and paused[queue_of(stream)] then",
        "if false then",
        pausing.test_a_paused_queue_is_not_claimed_from_and_others_are,
    ),
    Mutant(
        "trim: what is too old",
        "time[1] * 1000",
        "0",
        trimming.test_what_is_too_old_is_forgotten,
    ),
    Mutant(
        "trim: the newest are looked at, too",
        "entries * size / #newest",
        "0",
        trimming.test_no_more_bytes_are_kept_than_were_asked_for,
        {"before": 3_000, "size": 20_000},
    ),
]
MUTANTS = [*RECORDS, *REVOKE, *CLAIM, *OUTCOME, *LEASES, *PUBLISH, *REMOVE, *WORKER]
