-- Notes that a node may hold connections of a session, before it does.
-- KEYS[1] its sessions, by when that was noted. ARGV: session, life.
redis.call('ZADD', KEYS[1], text(micros()), ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
