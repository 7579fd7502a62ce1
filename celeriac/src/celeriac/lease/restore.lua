-- Restore: give back messages whose lease is over: their worker died, or it stalls, and its outcome will be refused.
-- They go to the right end of their list, so they are claimed next. A field in `starts` makes their next start count.
--
-- KEYS  1 unacked  2 leases  3 starts
-- ARGV  1 how many at most  2 for how many us a lease must be over  3 the separator of kombu's priority lists
--       4… kombu's priority steps, ascending
-- Returns how many went back
local time = redis.call('TIME')
local over = string.format('%.0f', time[1] * 1000000 + time[2] - ARGV[2])

local function list_of(queue, raw)
  local priority, step = tonumber(string.match(raw, '.*"priority": ?(%d+)') or 0), 0
  for i = 4, #ARGV do
    if priority >= tonumber(ARGV[i]) then step = tonumber(ARGV[i]) end
  end
  return step > 0 and queue .. ARGV[3] .. step or queue
end

-- A full Redis refuses the first write of a script, unless that command only deletes; it takes all later writes of the
-- same script. So the first write here is a HDEL of nothing.
redis.call('HDEL', KEYS[3], '')
local back, tags = 0, {}
for _, tag in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', over, 'LIMIT', 0, ARGV[1])) do
  local entry = redis.call('HGET', KEYS[1], tag)
  local raw, queue = string.match(entry or '', '^%[(.*),"","(.*)"%]$')
  if raw then
    redis.call('HSETNX', KEYS[3], tag, 0)
    redis.call('RPUSH', list_of(queue, raw), raw)
    redis.call('HDEL', KEYS[1], tag)
    back = back + 1
    tags[back] = tag
  end
  redis.call('ZREM', KEYS[2], tag)
end
if back > 0 then  -- not `call`: whatever is wrong with the record, they are back. Without a stream, nobody writes records
  redis.pcall('XADD', 'celery-life', 'NOMKSTREAM', '*', 'b', '', 'r', 'its lease is over', 't', table.concat(tags, '\n'))
end
return back
