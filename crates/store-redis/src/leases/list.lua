-- The nodes that are dead or alive.
-- KEYS[1] nodes by the end of their lease
-- ARGV    'dead' or 'alive'
local now = redis.call('TIME')
local ms = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
if ARGV[1] == 'dead' then return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ms) end
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ms, '+inf')
