-- Claim: take messages for one worker. The script reads and registers each message before it removes it from its list.
-- So no message is lost when a worker dies, and a message that cannot be read stops no other one. All times are by
-- Redis's clock.
--
-- KEYS  1 unacked  2 leases  3 due  4 starts, then n lists in the order of priority, then the dead letters of each
-- ARGV  1 n  2 lease in us  3 dead letters at which a queue is no longer claimed from
--       4 how many entries of records are kept (0: none are written)  5 the worker  6 how many messages at most
--
-- A queue whose name is in the set `celery-paused` is not claimed from.
-- Returns {fence: the deadline of the leases,
--          ms until the next message is due, or -1,
--          {list number, {message, …}, …} of the claimed messages,
--          {tag, starts, …} of those that were given back after a worker died,
--          {list number, …} of the lists that are not claimed from,
--          {number of a message, tag, …} of messages whose tag is not in its usual place,
--          {list number, reason, problem, message, …} of new dead letters; the message is "" if nobody is to be told,
--          1 if messages are left in the lists, else 0}
-- With client tracking, Redis tells the caller when a list or `due` changes after this.
local unacked, leases, due, starts = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local find, sub = string.find, string.sub
local lists, want = tonumber(ARGV[1]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local fence = string.format('%.0f', now + ARGV[2])

-- ISO 8601 with an offset -> us since 1970; nil for anything else. Days from civil: Howard Hinnant's algorithm.
local function microseconds(text)
  local y, mo, d, h, mi, s, zone = string.match(text, '^(%d%d%d%d)-(%d%d)-(%d%d)[T ](%d%d):(%d%d):([%d.]+)(.*)$')
  local sign, zh, zm = string.match(zone or '', '^([+-])(%d%d):?(%d%d)$')
  if zone == 'Z' or zone == '' then sign, zh, zm = '+', 0, 0 end
  s = tonumber(s)
  if not (y and sign and s) then return nil end
  y, mo = tonumber(y), tonumber(mo)
  if mo <= 2 then y = y - 1 end
  local era = math.floor(y / 400)
  local year = y - era * 400
  local day = math.floor((153 * (mo + (mo > 2 and -3 or 9)) + 2) / 5) + d - 1
  local days = era * 146097 + year * 365 + math.floor(year / 4) - math.floor(year / 100) + day - 719468
  local offset = (zh * 60 + zm) * 60
  if sign == '-' then offset = -offset end
  return (((days * 24 + h) * 60 + mi) * 60 + s - offset) * 1000000
end

-- Whether no "eta" counts but one that is null: if there are two, only the parser knows. Lua's plain search stops at
-- every first letter: a message has four times as many quotes as t.
local function at_once(raw)
  local at = find(raw, 'ta"', 1, true)
  if not at then return false end
  if sub(raw, at - 2, at + 8) ~= '"eta": null' then
    at = find(raw, '"eta": null', 1, true)
    if not at or find(raw, '"eta"', 1, true) < at then return false end
    at = at + 2
  end
  return not (find(raw, 'ta"', at + 3, true) and find(raw, '"eta"', at + 3, true))
end

local known  -- the last start of a tag: all tags of one publisher start alike, and to check it takes long

-- Returns the tag of a message; when it is due, if that is later than now; true if the tag is not in its usual place.
-- Returns nil for a message that nobody can read.
local function look(raw)
  -- kombu writes the tag, a UUID, in a fixed place. To look there takes a small part of the time of parsing the
  -- whole message.
  local start = sub(raw, -56, -16)
  if start ~= known and find(start, '^"delivery_tag": "%w+%-%w+%-%w+%-%w+%-$') then known = start end
  local tag = start == known and find(raw, '^%w+"}}$', -15) and sub(raw, -39, -4)
  if tag and at_once(raw) then return tag end
  local good, message = pcall(cjson.decode, raw)
  if not good then  -- half a surrogate pair: Python writes and reads it
    good, message = pcall(cjson.decode, (string.gsub(raw, '\\u[dD][89a-fA-F]%x%x', '\\ufffd')))
  end
  if not good or type(message) ~= 'table' or type(message.body) ~= 'string' then return nil end
  local headers, properties = message.headers, message.properties
  if type(headers) ~= 'table' or type(properties) ~= 'table' then return nil end
  tag = properties.delivery_tag
  if type(tag) ~= 'string' or tag == '' or find(tag, '[^ -~]') then return nil end  -- printable ASCII only
  if headers.eta == nil or headers.eta == cjson.null then return tag, nil, true end
  local eta = type(headers.eta) == 'string' and microseconds(headers.eta)
  if not eta then return nil end  -- when it is due is unknown, and it must not run early
  return tag, eta > now and eta, true
end

local MOST_BYTES = 1000000  -- of a claim of several messages; and of a message that is returned with its dead letter
local FIRST_STEP = 4
local buried = {}
local record_lists, record_tags, letters = {}, {}, {}  -- for the record: list and tags of what is claimed; dead letters

-- The queue of a list, by the name of its dead letters: an app may separate queue and priority in its own way.
local function queue_of(stream) return sub(stream, #'celery-dead-' + 1) end

-- Leave a dead letter. `other` is the message that keeps the tag, in a conflict. If both have the same task id, nobody
-- is told here: the caller gets the result of the other one.
local function bury(stream, i, raw, reason, problem, other)
  local about = cjson.encode({reason = reason, error = problem, queue = queue_of(stream)})
  redis.call('XADD', stream, '*', 'raw', raw, 'about', about)
  local id = string.match(raw, '"id": ?"([^"]*)"')
  local told = #raw <= MOST_BYTES and (not other or id and not find(other, id, 1, true))
  for _, word in ipairs({i - 1, reason, problem, told and raw or ''}) do buried[#buried + 1] = word end
  id = string.gsub(id or '', '[^ -~]', '?')
  for _, word in ipairs({KEYS[4 + i], reason, problem, id}) do letters[#letters + 1] = word end
end

-- Returns the next messages of a list, the oldest first; and 1 if it stopped at the limit of bytes, else 0. It reads in
-- steps that double: to read a hundred large messages at once would block Redis, and one call for each is slow.
local bytes = 0
local function oldest(list)
  local got, n, step = {}, 0, FIRST_STEP
  while n < want do
    step = math.min(step, want - n)
    local piece = redis.call('LRANGE', list, -(n + step), -(n + 1))
    for j = #piece, 1, -1 do
      local raw = piece[j]
      if bytes > 0 and bytes + #raw > MOST_BYTES then return got, 1 end
      bytes, n = bytes + #raw, n + 1
      got[n] = raw
    end
    if #piece < step then break end
    step = 2 * step
  end
  return got, 0
end

-- A full Redis refuses the first write of a script, unless that command only deletes; it takes all later writes of the
-- same script. So the first write here is a HDEL of nothing.
redis.call('HDEL', starts, '')

local paused = {}
for _, queue in ipairs(redis.call('SMEMBERS', 'celery-paused')) do paused[queue] = true end

local ripe = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, 100)
for _, member in ipairs(ripe) do
  local list, raw = string.match(member, '^([^\n]*)\n(.*)$')
  redis.call('RPUSH', list, raw)
  redis.call('ZREM', due, member)
end
local taken, number, before, full, closed, odd, more, open = {}, 0, {}, {}, {}, {}, 0, {}  -- number: of those taken
local filled = redis.call('EXISTS', unpack(KEYS, 5, 4 + lists))
local found = filled > 0  -- mostly not: a message wakes all idle workers, and one of them is the first
local came_back = found and redis.call('EXISTS', starts) == 1
for i = 1, lists do
  if want <= 0 or more == 1 or filled == 0 then break end
  local list, stream = KEYS[4 + i], KEYS[4 + lists + i]
  local there = redis.call('EXISTS', list) == 1
  if there then filled = filled - 1 end
  if there and paused[queue_of(stream)] then
    closed[i] = true
  elseif there and redis.call('XLEN', stream) >= tonumber(ARGV[3]) then
    full[#full + 1] = i - 1
    closed[i] = true
  elseif there then
    local got
    got, more = oldest(list)
    local n, deadlines, entries, messages, tags, ahead, strange = 0, {}, {}, {}, {}, {}, {}
    local ending = ',"","' .. queue_of(stream) .. '"]'
    for j = 1, #got do
      local raw = got[j]
      local tag, later, moved = look(raw)
      if not tag then
        bury(stream, i, raw, 'undecodable', 'not a message that Celery could have sent')
      elseif later then
        ahead[#ahead + 1] = string.format('%.0f', later)
        ahead[#ahead + 1] = list .. '\n' .. raw
      else
        n = n + 1  -- to ask for the length of a table takes longer
        if moved then strange[tag] = true end
        deadlines[2 * n - 1] = fence
        deadlines[2 * n] = tag
        entries[2 * n - 1] = tag
        entries[2 * n] = '[' .. raw .. ending
        messages[n] = raw
        tags[n] = tag
      end
    end
    if #ahead > 0 then redis.call('ZADD', due, unpack(ahead)) end
    if #entries > 0 then
      -- Another worker, ours or a stock one, may have claimed a message with the same tag. To write over its entry
      -- would lose one of the two messages. (There may be a lease without an entry: a stock worker that had claimed
      -- the same message before acknowledged it, and so removed our entry.) Two messages in this batch may have the
      -- same tag, too: then there are fewer new leases than messages.
      local function drop(m, holder)
        bury(stream, i, messages[m], 'conflict', 'its delivery tag belongs to another message', holder or messages[m])
        table.remove(messages, m)
        table.remove(tags, m)
        for _, words in ipairs({deadlines, entries}) do
          table.remove(words, 2 * m)
          table.remove(words, 2 * m - 1)
        end
      end
      local holders = redis.call('HMGET', unacked, unpack(tags))
      for m = #tags, 1, -1 do
        if holders[m] then drop(m, holders[m]) end
      end
      if #messages > 0 and redis.call('ZADD', leases, 'NX', unpack(deadlines)) < #messages then
        local first = {}  -- tag -> number of the first message with it
        for m = 1, #messages do first[deadlines[2 * m]] = first[deadlines[2 * m]] or m end
        for m = #messages, 1, -1 do
          local tag = deadlines[2 * m]
          if first[tag] < m then drop(m, messages[first[tag]])
          elseif redis.call('ZSCORE', leases, tag) ~= fence then drop(m) end
        end
      end
      if #entries > 0 then redis.call('HSET', unacked, unpack(entries)) end
      taken[#taken + 1] = i - 1
      taken[#taken + 1] = messages
      if #tags > 0 then
        record_lists[#record_lists + 1] = list
        record_tags[#record_tags + 1] = table.concat(tags, '\n')
      end
      if came_back or next(strange) then
        for m = 1, #messages do
          local tag = entries[2 * m - 1]
          if strange[tag] then
            odd[#odd + 1] = number + m - 1
            odd[#odd + 1] = tag
          end
          local count = came_back and redis.call('HGET', starts, tag)
          if count then
            before[#before + 1] = tag
            before[#before + 1] = tonumber(count)
          end
        end
      end
      number = number + #messages
    end
    redis.call('LTRIM', list, 0, -(#got + 1))
    want = want - #got
  end
end
if ARGV[4] ~= '0' and #record_lists + #letters > 0 then  -- not `call`: whatever is wrong with it, they are claimed
  local fields = {'c', ARGV[5], 'l', table.concat(record_lists, '\n'), 't', table.concat(record_tags, '\n\n')}
  if #record_lists == 0 then fields = {'c', ARGV[5]} end
  if #letters > 0 then
    fields[#fields + 1] = 'd'
    fields[#fields + 1] = table.concat(letters, '\n')
  end
  redis.pcall('XADD', 'celery-life', 'MAXLEN', '~', ARGV[4], '*', unpack(fields))
end

-- Redis tells of a change of what was read, but not if this script wrote to it later: so these are read once more.
for i = 1, found and more == 0 and lists or 0 do
  if not closed[i] then open[#open + 1] = KEYS[4 + i] end
end
if #open > 0 then more = math.min(1, redis.call('EXISTS', unpack(open))) end
local soonest = redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
local wait = soonest and math.max(0, math.ceil((soonest - now) / 1000)) or -1
return {fence, wait, taken, before, full, odd, buried, more}
