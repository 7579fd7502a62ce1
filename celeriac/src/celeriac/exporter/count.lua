-- Count, by queue, a page of what does not wait in a list: claimed messages (a hash), or messages that are due later (a
-- sorted set). Messages can be large, so only names and counts leave the server.
--
-- KEYS  1 `unacked`, or `celery-due`
-- ARGV  1 cursor  2 now, as the beginning of an ISO time: a message of a stock worker that is due after it waits in the
--       memory of that worker
-- Returns {cursor, then of each place: exchange, routing key or list, 1 if due later else 0, how many}
local found, order = {}, {}
local function add(exchange, key, later)
  local name = exchange .. '\n' .. key .. '\n' .. later
  if not found[name] then
    found[name] = {exchange, key, later, 0}
    order[#order + 1] = name
  end
  found[name][4] = found[name][4] + 1
end

local page
if redis.call('TYPE', KEYS[1]).ok == 'zset' then  -- members are "<list>\n<message>"
  page = redis.call('ZSCAN', KEYS[1], ARGV[1], 'COUNT', 200)
  for i = 1, #page[2], 2 do
    local list = string.match(page[2][i], '^([^\n]*)\n')
    if list then add('', list, 1) end
  end
else  -- entries are [message, exchange, routing key]
  page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', 500)
  for i = 2, #page[2], 2 do
    local exchange, key = string.match(string.sub(page[2][i], -600), '"([^"]*)"%s*,%s*"([^"]*)"%s*%]%s*$')
    local eta = string.find(page[2][i], '"eta": "', 1, true)  -- only Celery's own header is written like that
    local later = eta and string.sub(page[2][i], eta + 8, eta + 26) > ARGV[2] and 1 or 0
    if key then add(exchange, key, later) end
  end
end
local flat = {page[1]}
for _, name in ipairs(order) do
  for _, word in ipairs(found[name]) do flat[#flat + 1] = word end
end
return flat
