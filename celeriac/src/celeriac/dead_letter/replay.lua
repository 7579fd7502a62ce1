-- Replay: push a dead letter into its queue again. It happens once: a second replay finds no letter and does nothing.
--
-- KEYS  1 stream of dead letters  2 list of the queue, by priority  3 starts
-- ARGV  1 id of the letter  2 the new message  3 the old delivery tag, or ""  4 its record
-- Returns 1 if it was replayed, 0 if there is no such letter
if #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 then return 0 end
-- The push comes first, because it may fail (a full Redis; a key that is no list). Then the letter is still there.
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('XDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[3])  -- the starts of the old message; the new one begins with none
-- Not `call`: whatever is wrong with the record, it is replayed. Without a stream, nobody writes records.
redis.pcall('XADD', 'celery-life', 'NOMKSTREAM', '*', 'y', ARGV[4])
return 1
