-- Renews a node's lease and registers the node.
-- KEYS[1] nodes by the end of their lease, KEYS[2] claims on dead nodes' estates, KEYS[3] epoch
-- ARGV    node, lease in ms, the epoch if there is none
-- Answers whether the node was known and nobody has claimed its estate since, and the epoch.
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local known = redis.call('ZSCORE', KEYS[1], ARGV[1]) and 1 or 0
if redis.call('HDEL', KEYS[2], ARGV[1]) == 1 then known = 0 end
redis.call('ZADD', KEYS[1], string.format('%.0f', ms + ARGV[2]), ARGV[1])
redis.call('SET', KEYS[3], ARGV[3], 'NX')
return { known, redis.call('GET', KEYS[3]) }
