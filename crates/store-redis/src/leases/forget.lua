-- Removes a node that leaves by itself, or whose estate was settled by the holder of the claim.
-- KEYS[1] nodes by the end of their lease, KEYS[2] claims on dead nodes' estates
-- ARGV    node, who says so
-- Answers whether the node is gone.
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 1 end
if ARGV[1] ~= ARGV[2] then
  local claim = redis.call('HGET', KEYS[2], ARGV[1])
  if not claim or string.match(claim, '^%w+') ~= ARGV[2] then return 0 end
end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
