-- Put: push a message that Celery publishes outside a task, and write that down.
--
-- KEYS  1 list
-- ARGV  1 the message  2 how many entries of records are kept  3 its record
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.pcall('XADD', 'celery-life', 'MAXLEN', '~', ARGV[2], '*', 'p', ARGV[3])  -- whatever is wrong with it
