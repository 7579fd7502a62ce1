-- Release: give claimed messages back to their lists, at a stop or because another worker can start them sooner.
--
-- KEYS  1 unacked  2 leases  3 starts
-- ARGV  1 whether a record is written (1, 0)  2 the worker  3 why they go back
--       then of each message: tag, fence, its list, and one of
--       "0": the number of its starts does not change
--       "1": its worker ends because of this message. The next start counts, and 1,000,000 is added (see starts.py)
--       "2": its start was counted, and its worker does not die: the script takes that start back
-- Returns how many went back
--
-- A full Redis refuses the first write of a script, unless that command only deletes; it takes all later writes of the
-- same script. So the first write here is a HDEL of nothing.
redis.call('HDEL', KEYS[3], '')
local PROVEN = 1000000
local back, others, culprits = 0, {}, {}
for i = 4, #ARGV, 4 do
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
    local same = ARGV[i + 3] == '1' and culprits or others
    same[#same + 1] = tag
  end
end
if ARGV[1] == '1' and back > 0 then  -- not `call`: whatever is wrong with the record, they go back
  local reasons, tags = {}, {}
  for reason, some in pairs({[ARGV[3]] = others, ['its worker ends because of it'] = culprits}) do
    if #some > 0 then
      reasons[#reasons + 1] = reason
      tags[#tags + 1] = table.concat(some, '\n')
    end
  end
  redis.pcall('XADD', 'celery-life', 'NOMKSTREAM', '*', 'b', ARGV[2], 'r', table.concat(reasons, '\n'),
              't', table.concat(tags, '\n\n'))
end
return back
