-- Publish once: push each message into its list, unless its id was published before or its queue is full. The script
-- checks all messages before it writes. A full Redis refuses the first write here, and so the whole script: then
-- nothing was written.
--
-- KEYS  1 list  2 due  3 the queue, and all its further lists: they are counted together
-- ARGV  1 bound of the queue (0: none)  2 for how many ms an id is remembered (0: not at all)
--       3 due time in us of Redis's clock (0: now)  4 life of the first results in ms
--       5 whether this publisher has declared the queue (1, 0)
--       6 how many entries of records are kept (0: none are written)
--       7 the messages, in MessagePack, as one array: of each its id, fingerprint, bytes, first result ("" none)
--       8 their record
-- Returns {how many messages wait in the queue now, then of each message:
--          1 pushed, -1 the queue is full, -2 the id belongs to other work;
--          or, of one that was published before: 0 it is done, or its message was found; 2 it is not done, and its
--          message was not found; 3 it is not done, and its message was not searched for}
local list, due, queue = KEYS[1], KEYS[2], KEYS[3]
local LOOKED_AT = 50  -- messages; to search more takes too long
local bound, life, when = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

if when > 0 then
  local time = redis.call('TIME')
  if when <= time[1] * 1000000 + time[2] then when = 0 end
end
local waiting, filled = 0, redis.call('EXISTS', unpack(KEYS, 3))  -- mostly one of them, the first
for k = 3, #KEYS do
  if filled == 0 then break end
  local length = redis.call('LLEN', KEYS[k])
  waiting = waiting + length
  if length > 0 then filled = filled - 1 end
end
local taken = when > 0 and math.max(waiting, redis.call('ZCARD', due)) or waiting

local words = cmsgpack.unpack(ARGV[7])
local answers, seen, new, repeats = {waiting}, {}, {}, {}
for at = 1, #words, 4 do
  local id, print = words[at], words[at + 1]
  local was = life > 0 and (seen[id] or redis.call('GET', 'celery-once-' .. id))
  if was == 'queued:' .. print then
    answers[#answers + 1] = 0
    if not seen[id] then repeats[#answers] = id end  -- no twin in this chunk
  elseif was then
    answers[#answers + 1] = was == 'done:' .. print and 0 or -2
  elseif bound > 0 and taken + #new >= bound then
    answers[#answers + 1] = -1
  else
    answers[#answers + 1] = 1
    seen[id] = 'queued:' .. print
    new[#new + 1] = at
  end
end

if next(repeats) then  -- Is the message of a published id still there?
  -- Returns the ids of all messages that wait in this queue or are dead there, are due later, or are claimed. Returns
  -- nil if there are too many, or if Redis does not let us read them.
  local function unfinished()
    local dead, total = 'celery-dead-' .. queue, waiting
    for _, counts in ipairs({{'ZCARD', due}, {'HLEN', 'unacked'}, {'XLEN', dead}}) do
      local count = redis.pcall(unpack(counts))
      if type(count) ~= 'number' then return nil end
      total = total + count
    end
    if total > LOOKED_AT then return nil end
    local reads = {{'ZRANGE', due, 0, -1}, {'HVALS', 'unacked'}, {'XRANGE', dead, '-', '+'}}
    for k = 3, #KEYS do reads[#reads + 1] = {'LRANGE', KEYS[k], 0, -1} end
    local ids = {}
    local function note(text)  -- a plain search: a pattern takes ten times as long
      local _, at = string.find(text, '"id": "', 1, true)
      while at do
        ids[string.sub(text, at + 1, (string.find(text, '"', at + 1, true) or 0) - 1)] = true
        _, at = string.find(text, '"id": "', at + 1, true)
      end
    end
    for _, words in ipairs(reads) do
      local entries = redis.pcall(unpack(words))
      if entries.err then return nil end
      for _, entry in ipairs(entries) do
        for _, text in ipairs(words[1] == 'XRANGE' and entry[2] or {entry}) do note(text) end
      end
    end
    return ids
  end

  local ids = unfinished()
  for n, id in pairs(repeats) do  -- JSON has several ways to write an id with other characters: nobody looks for it
    answers[n] = (not ids or string.find(id, '[^%w_.:-]')) and 3 or ids[id] and 0 or 2
  end
end
if #new == 0 then return answers end

-- Declare the queue as kombu does, so that stock workers and monitors know it: with the first message of a publisher,
-- as kombu; and where nothing waits, for Redis may have been emptied since.
if waiting == 0 or ARGV[5] == '0' then
  local member = queue .. '\6\22\6\22' .. queue
  redis.call('SADD', '_kombu.binding.' .. queue, member)
  redis.call('SADD', '_kombu.binding_permanent.' .. queue, member)
end

local push, written = {}, {}
for i, at in ipairs(new) do
  local id, marker = words[at], words[at + 3]
  if life > 0 then
    local once = 'celery-once-' .. id
    redis.call('SET', once, seen[id], 'PX', ARGV[2])
    written[#written + 1] = once
  end
  if marker ~= '' then
    local result = 'celery-task-meta-' .. id
    if redis.call('SET', result, marker, 'NX', 'PX', ARGV[4]) then written[#written + 1] = result end
  end
  push[i] = words[at + 2]
end
local done
if when > 0 then
  local entries = {}
  for i, raw in ipairs(push) do
    entries[2 * i - 1] = ARGV[3]
    entries[2 * i] = list .. '\n' .. raw
  end
  done = redis.pcall('ZADD', due, unpack(entries))
else
  done = redis.pcall('LPUSH', list, unpack(push))
  answers[1] = waiting + #push
end
if type(done) == 'table' and done.err then  -- only the access rules of Redis (ACL) can still refuse this write
  if #written > 0 then redis.call('DEL', unpack(written)) end
  return done
end
if ARGV[6] ~= '0' then  -- not `call`: whatever is wrong with the records, the messages are published
  if 4 * #new == #words then
    redis.pcall('XADD', 'celery-life', 'MAXLEN', '~', ARGV[6], '*', 'p', ARGV[8])
  else
    for i, at in ipairs(new) do new[i] = (at + 3) / 4 end
    redis.pcall('XADD', 'celery-life', 'MAXLEN', '~', ARGV[6], '*', 'p', ARGV[8], 'n', cmsgpack.pack(new))
  end
end
return answers
