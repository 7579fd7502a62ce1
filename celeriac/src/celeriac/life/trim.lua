-- Trim: forget the oldest records, those that are too old and those that need too much memory. Each XADD bounds their
-- number already.
--
-- KEYS  1 the stream of records
-- ARGV  1 how old they may be, in ms  2 how many bytes they may need  3 how many entries are removed in one call at most
--       4 "1": nobody writes them here; then an empty stream is deleted, for other scripts write where there is one
-- Returns how many were removed
if redis.call('TYPE', KEYS[1]).ok ~= 'stream' then return 0 end
redis.call('PEXPIRE', KEYS[1], 2 * ARGV[1])  -- where no worker of ours is left, nobody else removes it
local time = redis.call('TIME')
local oldest = math.max(0, time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[1])
local removed = redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f', oldest), 'LIMIT', ARGV[3])
local entries = redis.call('XLEN', KEYS[1])
if entries == 0 then
  if ARGV[4] == '1' then redis.call('DEL', KEYS[1]) end
  return removed
end

-- Redis takes the oldest entries for its estimate. A burst has larger ones, which are the newest: so both are looked at.
local newest, size = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 20), 0
for _, entry in ipairs(newest) do
  for _, word in ipairs(entry[2]) do size = size + #word end
end
local bytes = math.max(redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 20), entries * size / #newest)
if bytes > tonumber(ARGV[2]) then
  local kept = math.floor(entries * ARGV[2] / bytes)
  removed = removed + redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', kept, 'LIMIT', ARGV[3])
end
return removed
