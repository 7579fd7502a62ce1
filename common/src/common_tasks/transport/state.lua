-- State: of a task that runs. STARTED, or its end, ahead of its outcome, where others look for it at once (a chord).
-- Stored while the lease is ours, unless the task was done before: then its first outcome stays.
--
-- KEYS  1 leases  2 key of the result ("" none: only look)  3 key of the record
-- ARGV  1 tag  2 fence  3 state  4 its life in s (0: for ever)  5 "1" if it is an end
-- Returns 1 if the lease is ours
local deadline = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not deadline or tonumber(deadline) ~= tonumber(ARGV[2]) then return 0 end
if KEYS[2] == '' or string.sub(redis.call('GET', KEYS[3]) or '', 1, 5) == 'done:' then return 1 end
-- As Celery: a success stays. And STARTED comes late: it does not replace a state that the body has stored itself.
local REPLACED = {PENDING = 1, RECEIVED = 1, STARTED = 1, RETRY = 1, FAILURE = 1, REVOKED = 1, REJECTED = 1, IGNORED = 1}
local was = string.match(redis.call('GET', KEYS[2]) or '', '"status": ?"([^"]*)"')
if was == 'SUCCESS' or (was and ARGV[5] ~= '1' and not REPLACED[was]) then return 1 end
if ARGV[4] == '0' then redis.call('SET', KEYS[2], ARGV[3]) else redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4]) end
redis.call('PUBLISH', KEYS[2], ARGV[3])
return 1
