-- Start: count a start of a message that was given back after a worker died. The first start of a message is not
-- counted: to count it would cost a round trip for each message.
--
-- KEYS  1 starts  2 leases  3 record ("" none)
-- ARGV  1 tag  2 fence  3 what to add: 1 for a start, and 1,000,000 more while it runs alone (see starts.py)
--       4 its record ("" none)
-- Returns {starts counted, record or false}; {-1, false} if the lease is not ours any more
local deadline = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not deadline or tonumber(deadline) ~= tonumber(ARGV[2]) then return {-1, false} end
-- A full Redis refuses the first write of a script, unless that command only deletes; it takes all later writes of the
-- same script. So the first write here is a HDEL of nothing.
redis.call('HDEL', KEYS[1], '')
if ARGV[4] ~= '' then redis.pcall('XADD', 'celery-life', 'NOMKSTREAM', '*', 's', ARGV[4]) end
return {redis.call('HINCRBY', KEYS[1], ARGV[1], ARGV[3]), KEYS[3] ~= '' and redis.call('GET', KEYS[3])}
