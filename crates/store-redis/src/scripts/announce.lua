-- Says that a session may have to be looked at as early as this: before it may.
-- KEYS: sessions by the earliest moment, and by when that was announced. ARGV: session, moment.
redis.call('ZADD', KEYS[1], 'LT', ARGV[2], ARGV[1])
redis.call('ZADD', KEYS[2], text(micros()), ARGV[1])
return 1
