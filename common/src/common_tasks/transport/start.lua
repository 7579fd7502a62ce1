-- Start: of a message that was taken back from a worker that died. Starts of other messages are not counted: they are
-- the first, and counting would cost a round trip each.
--
-- KEYS  1 starts  2 leases  3 record ("" none)
-- ARGV  1 tag  2 fence  3 what to add: 1 for a start, and 1,000,000 more while it runs alone (see starts.py)
-- Returns {starts counted, record or false}; starts are -1 where the lease is no longer ours
local deadline = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not deadline or tonumber(deadline) ~= tonumber(ARGV[2]) then return {-1, false} end
redis.call('HDEL', KEYS[1], '')  -- a write that frees: after it, a full Redis lets a script finish what it has begun
return {redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[3]), KEYS[3] ~= '' and redis.call('GET', KEYS[3])}
