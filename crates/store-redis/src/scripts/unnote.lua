-- Takes that back for a session that has ended, unless another one may be opened under its id.
-- KEYS[1] a node's sessions. ARGV: session.
local noted = redis.call('ZSCORE', KEYS[1], ARGV[1])
if noted and tonumber(noted) <= micros() - FRESH then
  redis.call('ZREM', KEYS[1], ARGV[1])
end
return 1
