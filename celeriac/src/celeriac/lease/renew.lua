-- Renew: give a new deadline to the leases that are still ours.
--
-- KEYS  1 leases
-- ARGV  1 lease in us, then of each message: tag, fence
-- Returns {the new fence, {tags of leases that are not ours any more}}
local time = redis.call('TIME')
local fence = string.format('%.0f', time[1] * 1000000 + time[2] + ARGV[1])
-- A full Redis refuses the first write of a script, unless that command only deletes; it takes all later writes of the
-- same script. So the first write here is a ZREM of nothing.
redis.call('ZREM', KEYS[1], '')
local lost = {}
for i = 2, #ARGV, 2 do
  local deadline = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if deadline and tonumber(deadline) == tonumber(ARGV[i + 1]) then redis.call('ZADD', KEYS[1], fence, ARGV[i])
  else lost[#lost + 1] = ARGV[i] end
end
return {fence, lost}
