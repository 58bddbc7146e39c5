-- Adds a notice to a stream and tells it to those who follow it. Repeating it is harmless.
-- KEYS[1] stream, also the name of the channel
-- KEYS[2] hash: the highest number of each publisher
-- ARGV    payload, entries kept, time to live in ms, publisher, its number of this notice
-- Answers with the entry's id.
local before = '0-0'
local top = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if top then before = top[1] end
local by = ARGV[4] .. ':' .. ARGV[5]
local highest = tonumber(redis.call('HGET', KEYS[2], ARGV[4]) or '0')
-- Only what comes late or again needs to be looked for.
if tonumber(ARGV[5]) <= highest then
  for _, entry in ipairs(redis.call('XREVRANGE', KEYS[1], '+', '-')) do
    if entry[2][6] == by then return entry[1] end
  end
else
  redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
end
local now = redis.call('TIME')
local at = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
local id = redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], '*',
  'after', before, 'at', at, 'by', by, 'is', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('PUBLISH', KEYS[1], before .. ' ' .. id .. ' ' .. ARGV[1])
return id
