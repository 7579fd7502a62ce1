-- Letters: a page of dead letters without their messages. Messages can be large, so the script reads one letter at a
-- time.
--
-- KEYS  1 stream of dead letters
-- ARGV  1 XRANGE or XREVRANGE  2 from  3 to (as that command takes them)  4 how many at most  5 bytes after which
--       the page ends
-- Returns {id, about, bytes of its message, …}; {} if there are no more letters
local from, page, seen = ARGV[2], {}, 0
while #page < 3 * ARGV[4] and seen < tonumber(ARGV[5]) do
  local entry = redis.call(ARGV[1], KEYS[1], from, ARGV[3], 'COUNT', 1)[1]
  if not entry then break end
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  local about, bytes = fields.about or '', #(fields.raw or '')
  seen = seen + bytes + #about
  page[#page + 1] = entry[1]
  page[#page + 1] = about
  page[#page + 1] = bytes
  from = '(' .. entry[1]
end
return page
