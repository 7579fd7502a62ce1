-- Revoke: store revocations, and return those that others have stored. Expired ones are removed, and the oldest ones if
-- there are too many.
--
-- KEYS  1 ids  2 stamps, each a sorted set by the time of the revocation, in us of Redis's clock
-- ARGV  1 life in us  2 how many of each at most  3 return what was stored since then, in us
--       4 how many ids, the ids, the stamps
-- Returns {us of now, {ids, the oldest first}, {stamps}}. With nothing to store it writes nothing
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local stamp, ids, told = string.format('%.0f', now), tonumber(ARGV[4]), {}
local over = string.format('%.0f', now - ARGV[1])
for i = 1, 2 do told[i] = redis.call('ZRANGEBYSCORE', KEYS[i], ARGV[3], '+inf') end
if #ARGV > 4 then
  -- A full Redis refuses the first write of a script, unless that command only deletes; it takes all later writes of
  -- the same script. So the first write here is a ZREM of nothing.
  redis.call('ZREM', KEYS[1], '')
  for i = 5, #ARGV do redis.call('ZADD', i <= 4 + ids and KEYS[1] or KEYS[2], stamp, ARGV[i]) end
  for i = 1, 2 do
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', over)
    redis.call('ZREMRANGEBYRANK', KEYS[i], 0, -1 - ARGV[2])
  end
end
return {stamp, told[1], told[2]}
