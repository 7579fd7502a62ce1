-- Find: the entries of a piece of the records that hold one of some texts. A piece ends after so many bytes, so that
-- Redis serves others between two pieces.
--
-- KEYS  1 the records
-- ARGV  1 from which id ("(" in front: behind it)  2 bytes after which the piece ends  3, … the texts
-- Returns {the last id that was looked at, or "" behind the last entry, {id, {field, value, …}, …}}
local ENTRY = 200  -- bytes, for what an entry costs beside its own
local FEWEST, MOST = 4, 64  -- entries at a time: one may hold 50 bytes or 50,000
local from, most, found, bytes, seen = ARGV[1], tonumber(ARGV[2]), {}, 0, 0

local function holds(fields)
  for i = 2, #fields, 2 do
    for word = 3, #ARGV do
      if string.find(fields[i], ARGV[word], 1, true) then return true end
    end
  end
end

while bytes < most do
  local step = seen == 0 and FEWEST or math.min(MOST, math.ceil((most - bytes) * seen / bytes))
  local piece = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', step)
  for _, entry in ipairs(piece) do
    seen, bytes = seen + 1, bytes + ENTRY
    for i = 2, #entry[2], 2 do bytes = bytes + #entry[2][i] end
    if holds(entry[2]) then
      found[#found + 1] = entry[1]
      found[#found + 1] = entry[2]
    end
  end
  if #piece < step then return {'', found} end
  from = '(' .. piece[#piece][1]
end
return {string.sub(from, 2), found}
