-- State: store a state of a task that runs: STARTED; PROGRESS, which the body says; or its end, before its outcome,
-- because a chord reads it at once.
-- It is stored only while the lease is ours, and only if the task was not done before: the first outcome stays.
--
-- KEYS  1 leases  2 key of the result ("": store nothing, only check the lease)  3 key of the record
-- ARGV  1 tag  2 fence ("none": there is no lease to check)  3 state  4 its life in s (0: for ever)
--       5 "0": STARTED  "1": an end  "2": PROGRESS  6 its record ("" none)
-- Returns 1 if the lease is ours
if ARGV[2] ~= 'none' then
  local deadline = redis.call('ZSCORE', KEYS[1], ARGV[1])
  if not deadline or tonumber(deadline) ~= tonumber(ARGV[2]) then return 0 end
end
-- Not `call`: whatever is wrong with the record, the state is stored. Without a stream, nobody writes records.
if ARGV[6] ~= '' then
  redis.pcall('XADD', 'celery-life', 'NOMKSTREAM', '*', ARGV[5] == '2' and 'g' or 's', ARGV[6])
end
if KEYS[2] == '' or string.sub(redis.call('GET', KEYS[3]) or '', 1, 5) == 'done:' then return 1 end
-- As Celery: nothing replaces a success. STARTED is stored late, so it does not replace a state that the body has
-- stored; PROGRESS is of a run before (see `stated` of a commit).
local REPLACED = {
  PENDING = 1, RECEIVED = 1, STARTED = 1, PROGRESS = 1, RETRY = 1, FAILURE = 1, REVOKED = 1, REJECTED = 1, IGNORED = 1
}
local was = string.match(redis.call('GET', KEYS[2]) or '', '"status": ?"([^"]*)"')
if was == 'SUCCESS' or (was and ARGV[5] == '0' and not REPLACED[was]) then return 1 end
if ARGV[4] == '0' then redis.call('SET', KEYS[2], ARGV[3]) else redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4]) end
redis.call('PUBLISH', KEYS[2], ARGV[3])
return 1
