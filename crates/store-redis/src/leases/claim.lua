-- Claims a dead node's estate.
-- KEYS[1] nodes by the end of their lease, KEYS[2] claims on dead nodes' estates
-- ARGV    dead node, claimant, how long the claim holds in ms
-- Answers 'yours', 'taken' or 'void'.
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local ended = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not ended or tonumber(ended) > ms then return 'void' end
local claim = redis.call('HGET', KEYS[2], ARGV[1])
if claim then
  local by, till = string.match(claim, '^(%w+) (%d+)$')
  if by ~= ARGV[2] and tonumber(till) > ms then return 'taken' end
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. string.format('%.0f', ms + ARGV[3]))
return 'yours'
