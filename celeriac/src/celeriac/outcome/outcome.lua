-- Outcome: commit finished messages. For each message, in one step: record, effects, result, messages that it
-- publishes, retry or dead letter, acknowledgement. An outcome is refused unless its lease has the deadline that it
-- names (the fence): with another deadline, or none, the message belongs to another worker now.
--
-- An outcome without a claim (prefork, solo, the stock transport) has the fence "none". Its tag is the key of a mark.
-- The script sets the mark, so that the same outcome, sent again, does nothing. The tag is "" where a record does the
-- same.
--
-- KEYS  1 unacked  2 leases  3 starts  4 due
-- ARGV  1 in MessagePack, as one array: redis-py, Redis and Lua need longer for each argument than for a text in it.
--       How many messages, then of each: tag, fence, how many words follow (0: only the acknowledgement):
--       1 key of the record ("" none)
--       2 record ("": the run failed or is retried, and writes none; if there is a record, the work was done before,
--       and
--         only the acknowledgement happens)
--       3 its life in ms
--       4 key of the result ("" none)  5 its life in s (0: for ever)  6 result
--       and, if the message has more than that:
--       7 stream of dead letters ("" none)  8 what the dead letter says about itself
--       9 how many messages that are due later (a retry, a countdown), then of each: list, message, wait in us
--       then how many effects, and of each: how many words, command, key, …
--       then how many of the published messages belong to the work, not to this message (-1: all of them, since the
--       message and the work have the same id)
--       then of each message that it publishes: list, message
--       These counts and the wait are numbers; all else is text, also the lives, which go to Redis as they are.
--       2 how many entries of records are kept (0: none are written)  3 their record
-- Returns {tags that are refused, tags whose record was there before, {tag, why, …} of those that are not committed:
-- the record is of another payload ("conflict"), or an effect does not fit the type of its key}
local unacked, leases, starts, due = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local words = cmsgpack.unpack(ARGV[1])
local ALONE, PLAIN = 0, 6  -- how many words follow
local NO_CLAIM, MARK_SECONDS = 'none', 86400

local KIND = {INCRBY = 'string', SET = 'string', HINCRBY = 'hash', HSET = 'hash', HDEL = 'hash', SADD = 'set',
              SREM = 'set', RPUSH = 'list', LPUSH = 'list', ZADD = 'zset', XADD = 'stream'}

-- Whether INCRBY takes this text: a whole number, far from an overflow. Nil and false count as 0.
local function whole(text)
  return not text or (text == '0' or string.match(text, '^-?[1-9]%d*$')) and #text < 17
end

-- The types and values of keys after those effects of this message that are checked already. (None is applied yet.)
local kinds, values = {}, {}

local function kind_of(key)
  if not kinds[key] then kinds[key] = redis.call('TYPE', key).ok end
  return kinds[key]
end

local function not_of(kind, key)
  local there = kind_of(key)
  if there ~= 'none' and there ~= kind then return key .. ': a ' .. there .. ' is there' end
  kinds[key] = kind
end

-- Whether what is there, and `by`, are numbers that can be added. After that the place holds a number.
local function counts(place, there, by)
  if values[place] ~= nil then there = values[place] end
  values[place] = '0'
  return whole(there) and whole(by)
end

-- Returns what is wrong with an effect, or nil. The script checks all effects before it applies the first one: an
-- outcome must not be applied in part.
local function unfit(effect)
  local command, key = effect[1], effect[2]
  local problem = KIND[command] and not_of(KIND[command], key)
  if problem then return command .. ' ' .. problem end
  local good = true
  if command == 'DEL' then
    kinds[key] = 'none'
    for place in pairs(values) do
      if place == key or string.sub(place, 1, #key + 1) == key .. '\n' then values[place] = false end
    end
  elseif command == 'SET' then
    values[key] = effect[3]
  elseif command == 'HSET' then
    for w = 3, #effect, 2 do values[key .. '\n' .. effect[w]] = effect[w + 1] end
  elseif command == 'INCRBY' then
    good = counts(key, values[key] == nil and redis.call('GET', key), effect[3])
  elseif command == 'HINCRBY' then
    local place = key .. '\n' .. effect[3]
    good = counts(place, values[place] == nil and redis.call('HGET', key, effect[3]), effect[4])
  elseif command == 'ZADD' then
    for w = 3, #effect, 2 do
      local score = tonumber(effect[w])
      good = good and score and score == score
    end
  end
  if not good then return command .. ' ' .. key .. ': not a number that it can take' end
end

-- The same check for the keys of queues, of due messages and of dead letters. Each key is checked once, not once for
-- each message.
local checked = {}
local function look(kind, key)
  if key ~= '' and checked[key] ~= kind then
    local problem = not_of(kind, key)
    if problem then return problem end
    checked[key] = kind
  end
end

local function unfit_keys(p, rest, last)
  local problem = look('stream', words[p + 7])
  if words[p + 9] > 0 then problem = problem or look('zset', due) end
  for c = rest + 1, last, 2 do problem = problem or look('list', words[c]) end
  return problem
end

-- Returns the effects of the message whose words begin after p; and where the part about its published messages begins.
local function effects_of(p)
  local at = p + 10 + 3 * words[p + 9]
  local effects = {}
  local count = words[at]
  at = at + 1
  for k = 1, count do
    local effect = {}
    for w = 1, words[at] do effect[w] = words[at + w] end
    effects[k] = effect
    at = at + 1 + #effect
  end
  return effects, at
end

-- Write the record. Returns true if the work was done before, "conflict" if it was done with another payload, else
-- false.
local function record(key, value, ms)
  if value == '' then return string.sub(redis.call('GET', key) or '', 1, 5) == 'done:' end
  local was = redis.call('SET', key, value, 'PX', ms, 'GET')
  if not was or string.sub(was, 1, 5) ~= 'done:' then return false end
  if was == value then return true end
  redis.call('SET', key, was, 'PX', ms)
  return 'conflict'
end

-- Stock clients that wait for a result subscribe to its key. To ask once whether there are subscribers is cheaper than
-- to publish each result when there are none.
local waited_for = redis.call('PUBSUB', 'NUMPAT') > 0 or #redis.call('PUBSUB', 'CHANNELS', '*celery-task-meta-*') > 0

local SUCCESS = '{"status": "SUCCESS"'
local function succeeded(result)
  return string.sub(result or '', 1, #SUCCESS) == SUCCESS
end

-- As stock Celery: a failure does not replace a success. (A second success replaces the first: to read before would
-- cost as much as the write.)
local function store(key, seconds, result)
  if not succeeded(result) and succeeded(redis.call('GET', key)) then return end
  if seconds == '0' then redis.call('SET', key, result) else redis.call('SET', key, result, 'EX', seconds) end
  if waited_for then redis.call('PUBLISH', key, result) end
end

local ENDS = {SUCCESS = true, FAILURE = true, REVOKED = true, REJECTED = true, IGNORED = true}
local function finished(key)
  local result = redis.pcall('GET', key)
  return type(result) == 'string' and ENDS[string.match(result, '^{"status": ?"(%u+)"')]
end

local function bury(tag, stream, about)
  local entry = redis.call('HGET', unacked, tag) or ''
  redis.call('XADD', stream, '*', 'raw', string.match(entry, '^%[(.*),"",".*"%]$') or entry, 'about', about)
end

local function put_off(p)
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  for k = p + 10, p + 9 + 3 * words[p + 9], 3 do
    redis.call('ZADD', due, string.format('%.0f', now + words[k + 2]), words[k] .. '\n' .. words[k + 1])
  end
end

local function publish(from, last)
  for c = from, last, 2 do redis.call('LPUSH', words[c], words[c + 1]) end
end

-- The work was done before, for a message with another id. This message has a caller of its own. So the caller gets the
-- result of this run, and what belongs to the message (callbacks, the rest of a chain, a retry) is published. What
-- belongs to the work (effects, follow-up messages) does not happen again.
local function answer(p, rest, last)
  local result, failed = words[p + 4], words[p + 2] == ''
  if result ~= '' and not finished(result) then store(result, words[p + 5], words[p + 6]) end
  if failed then put_off(p) end
  publish(rest + 1 + 2 * words[rest], last)
end

local first, tags, at = {}, {}, 2
for i = 1, words[1] do
  first[i], tags[i] = at + 2, words[at]
  at = at + 3 + words[at + 2]
end

-- A full Redis refuses the first write of a script, unless that command only deletes; it takes all later writes of the
-- same script. So the first write here is a HDEL of nothing.
redis.call('HDEL', starts, '')

local deadlines = redis.call('ZMSCORE', leases, unpack(tags))
local mine, refused, repeated, left = {}, {}, {}, {}

local function may(i)
  local fence = words[first[i] - 1]
  if fence == NO_CLAIM then return tags[i] == '' or redis.call('EXISTS', tags[i]) == 0 end
  -- As texts first: to read two numbers takes longer. Redis writes the same number in more than one way.
  return deadlines[i] and (deadlines[i] == fence or tonumber(deadlines[i]) == tonumber(fence))
end

local function finish(i)
  if words[first[i] - 1] ~= NO_CLAIM then
    mine[#mine + 1] = tags[i]
  elseif tags[i] ~= '' then
    redis.call('SET', tags[i], '', 'EX', MARK_SECONDS)
  end
end

local function commit(i)
  local p, tag = first[i], tags[i]
  if not may(i) then
    refused[#refused + 1] = tag
  else
    local follow = words[p]
    local effects, rest, why
    if follow > PLAIN then
      effects, rest = effects_of(p)
      if #effects > 0 then
        kinds, values, checked = {}, {}, {}  -- effects may have changed any key since the last message
        if string.sub(words[p + 1] ~= '' and redis.call('GET', words[p + 1]) or '', 1, 5) ~= 'done:' then
          for k = 1, #effects do why = why or unfit(effects[k]) end
        end
      end
      why = why or unfit_keys(p, rest, p + follow)
      if #effects > 0 then kinds, values, checked = {}, {}, {} end
    end
    local before = not why and follow > ALONE and words[p + 1] ~= '' and record(words[p + 1], words[p + 2], words[p + 3])
    if before == 'conflict' then why = before end
    if why then
      left[#left + 1] = tag
      left[#left + 1] = why
    else
      if before then
        repeated[#repeated + 1] = tag
        if follow > PLAIN and words[rest] ~= -1 then answer(p, rest, p + follow) end
      elseif follow > ALONE then
        if words[p + 4] ~= '' then store(words[p + 4], words[p + 5], words[p + 6]) end
        if follow > PLAIN then
          for k = 1, #effects do redis.call(unpack(effects[k])) end
          if words[p + 7] ~= '' then bury(tag, words[p + 7], words[p + 8]) end
          if words[p + 9] > 0 then put_off(p) end
          publish(rest + 1, p + follow)
        end
      end
      finish(i)
    end
  end
end

-- If one message raises an error, the others must still be acknowledged at the end: they are applied already.
for i = 1, #tags do
  local good, problem = pcall(commit, i)
  if not good then
    left[#left + 1] = tags[i]
    left[#left + 1] = type(problem) == 'table' and problem.err or tostring(problem)
  end
end
if #mine > 0 then
  redis.call('ZREM', leases, unpack(mine))
  redis.call('HDEL', unacked, unpack(mine))
  if redis.call('EXISTS', starts) == 1 then redis.call('HDEL', starts, unpack(mine)) end
end
if ARGV[2] ~= '0' then  -- not `call`: whatever is wrong with the records, the outcomes stay
  if #refused + #repeated + #left == 0 then
    redis.pcall('XADD', 'celery-life', 'MAXLEN', '~', ARGV[2], '*', 'o', ARGV[3])
  else
    local fields = {'o', ARGV[3], 'x', '', 'd', '', 'l', ''}
    for _, one in ipairs(refused) do fields[4] = fields[4] .. one .. '\n' end
    for _, one in ipairs(repeated) do fields[6] = fields[6] .. one .. '\n' end
    for i = 1, #left, 2 do fields[8] = fields[8] .. left[i] .. '\n' end
    redis.pcall('XADD', 'celery-life', 'MAXLEN', '~', ARGV[2], '*', unpack(fields))
  end
end
return {refused, repeated, left}
