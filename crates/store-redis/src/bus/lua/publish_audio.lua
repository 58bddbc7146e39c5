-- Adds a frame to a channel's stream and tells it to those who follow the channel.
-- KEYS[1] stream, also the name of the channel
-- ARGV    sequence, payload, entries kept, time to live in ms, and the sequence sent before it
-- Answers with the entry's id, or nothing when the stream is already that far. Refuses what would
-- get ahead of the one before.
local top = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local before, last = '0-0', -1
if top then
  before = top[1]
  last = tonumber(string.match(before, '^%d+'))
end
if tonumber(ARGV[1]) <= last then return false end
if tonumber(ARGV[5] or '-1') > last then return redis.error_reply('AHEAD of the one before') end
local now = redis.call('TIME')
local at = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], ARGV[1] .. '-1',
  'after', before, 'at', at, 'is', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PUBLISH', KEYS[1], before .. ' ' .. id .. ' ' .. ARGV[2])
return id
