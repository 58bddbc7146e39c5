-- Adds a frame to a channel's stream and tells it to those who follow the channel.
-- KEYS[1] stream, also the name of the channel
-- ARGV    sequence, payload, entries kept, time to live in ms
-- Answers with the entry's id, or nothing when the stream is already that far.
local top = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local before = '0-0'
if top then
  before = top[1]
  if tonumber(ARGV[1]) <= tonumber(string.match(before, '^%d+')) then return false end
end
local now = redis.call('TIME')
local at = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], ARGV[1] .. '-1',
  'after', before, 'at', at, 'is', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PUBLISH', KEYS[1], before .. ' ' .. id .. ' ' .. ARGV[2])
return id
