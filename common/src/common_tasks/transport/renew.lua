-- Renew: the leases that are still ours get a new deadline.
--
-- KEYS  1 leases
-- ARGV  1 lease in us, then of each message: tag, fence
-- Returns {the new fence, {tags of leases that are somebody else's by now}}
local time = redis.call('TIME')
local fence = string.format('%.0f', time[1] * 1000000 + time[2] + ARGV[1])
redis.call('ZREM', KEYS[1], '')  -- a write that frees: after it, a full Redis lets a script finish what it has begun
local lost = {}
for i = 2, #ARGV, 2 do
  local deadline = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if deadline and tonumber(deadline) == tonumber(ARGV[i + 1]) then redis.call('ZADD', KEYS[1], fence, ARGV[i])
  else lost[#lost + 1] = ARGV[i] end
end
return {fence, lost}
