-- Sessions that may be due, each with when that was announced (empty: long ago).
-- KEYS as in `announce`. ARGV: now.
local candidates = {}
for _, session in ipairs(redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE')) do
  candidates[#candidates + 1] = session
  candidates[#candidates + 1] = redis.call('ZSCORE', KEYS[2], session) or ''
end
return candidates
