-- Release: claims that this worker gives back, at a stop or because others could start them sooner.
--
-- KEYS  1 unacked  2 leases  3 starts
-- ARGV  of each message: tag, fence, its list, and "0"; or "1" if its worker is ended for it: its next start counts, and
--       1,000,000 says that this was its own (see starts.py); or "2" if it was counted as started, and this is no death:
--       that is taken back
-- Returns how many went back
redis.call('HDEL', KEYS[3], '')  -- a write that frees: after it, a full Redis lets a script finish what it has begun
local PROVEN = 1000000
local back = 0
for i = 1, #ARGV, 4 do
  local tag, deadline = ARGV[i], redis.call('ZSCORE', KEYS[2], ARGV[i])
  local entry = deadline and tonumber(deadline) == tonumber(ARGV[i + 1]) and redis.call('HGET', KEYS[1], tag)
  local raw = entry and string.match(entry, '^%[(.*),"",".*"%]$')
  if raw then
    local counted = tonumber(redis.call('HGET', KEYS[3], tag) or 0) % PROVEN
    if ARGV[i + 3] == '1' then redis.call('HSET', KEYS[3], tag, PROVEN + counted) end
    if ARGV[i + 3] == '2' and counted > 0 then redis.call('HSET', KEYS[3], tag, counted - 1) end
    redis.call('RPUSH', ARGV[i + 2], raw)
    redis.call('HDEL', KEYS[1], tag)
    redis.call('ZREM', KEYS[2], tag)
    back = back + 1
  end
end
return back
