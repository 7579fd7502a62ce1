-- Remove: delete messages, for a purge or a dropped dead letter. The note of publish once (`queued:…`) is deleted in
-- the same step, so that the same work can be published again. The record of work that is done (`done:…`) stays.
--
-- KEYS  1 where the messages are: a list, celery-due, or a stream of dead letters
-- ARGV  1 "list": 2 who removes them  3 how many messages at most  4 bytes after which the script ends
--         "due": 2 who  3 cursor of ZSCAN  4… the lists that the messages wait for
--         "letters": 2 who  3… their ids
-- Returns {how many were removed, the next cursor ("due") or "0"}
local key, kind = KEYS[1], ARGV[1]

local function read(raw)
  local good, message = pcall(cjson.decode, raw)
  if not good then  -- half a surrogate pair: Python writes and reads it
    good, message = pcall(cjson.decode, (string.gsub(raw, '\\u[dD][89a-fA-F]%x%x', '\\ufffd')))
  end
  return good and type(message) == 'table' and type(message.headers) == 'table' and message.headers or {}
end

local function text(key)
  local value = redis.pcall('GET', key)
  return type(value) == 'string' and value or ''
end

-- Delete the note of a message, and the first result that its publisher stored. Those of other work with the same id
-- stay.
local function forget(raw)
  local headers = read(raw)
  local id, print = headers.id, headers.fingerprint
  if type(id) ~= 'string' or type(print) ~= 'string' then return end
  local once, result = 'celery-once-' .. id, 'celery-task-meta-' .. id
  if text(once) ~= 'queued:' .. print then return end
  redis.call('DEL', once)
  if string.find(text(result), '^{"status": ?"PENDING"') then redis.call('DEL', result) end
end

local dropped = {}  -- id, delivery tag, …
local function plain(word) return type(word) == 'string' and string.gsub(word, '[^ -~]', '?') or '' end

local removed, cursor = 0, '0'
if kind == 'list' then
  local most, bytes, seen = tonumber(ARGV[3]), tonumber(ARGV[4]), 0
  while removed < most and seen < bytes do
    local raw = redis.call('LINDEX', key, -1)
    if not raw then break end
    forget(raw)
    redis.call('RPOP', key)
    removed, seen = removed + 1, seen + #raw
  end
elseif kind == 'due' then
  local wanted = {}
  for i = 4, #ARGV do wanted[ARGV[i]] = true end
  local page = redis.call('ZSCAN', key, ARGV[3], 'COUNT', 100)
  cursor = page[1]
  for i = 1, #page[2], 2 do
    local list, raw = string.match(page[2][i], '^([^\n]*)\n(.*)$')
    if wanted[list] then
      forget(raw)
      removed = removed + redis.call('ZREM', key, page[2][i])
    end
  end
else
  for i = 3, #ARGV do
    local entry = redis.call('XRANGE', key, ARGV[i], ARGV[i])[1]
    if entry then
      local fields = {}
      for f = 1, #entry[2], 2 do fields[entry[2][f]] = entry[2][f + 1] end
      -- A conflict is a second message with the same id: the note belongs to the first one.
      if not string.find(fields.about or '', '"reason": ?"conflict"') then forget(fields.raw or '') end
      removed = removed + redis.call('XDEL', key, ARGV[i])
      dropped[#dropped + 1] = plain(read(fields.raw or '').id)
      dropped[#dropped + 1] = plain(string.match(fields.raw or '', '"delivery_tag": ?"([^"]*)"'))
    end
  end
end
if removed > 0 then  -- not `call`: whatever is wrong with the record, they are gone. Without a stream, nobody writes records
  local fields = {'v', ARGV[2], 'l', kind == 'list' and key or kind == 'due' and ARGV[4] or string.sub(key, #'celery-dead-' + 1)}
  for _, word in ipairs(kind == 'letters' and {'t', table.concat(dropped, '\n')} or {'m', removed}) do
    fields[#fields + 1] = word
  end
  redis.pcall('XADD', 'celery-life', 'NOMKSTREAM', '*', unpack(fields))
end
return {removed, cursor}
