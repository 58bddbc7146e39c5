-- Adds a notice to a stream and tells it to those who follow it. Repeating it is harmless.
-- KEYS[1] stream, also the name of the channel
-- KEYS[2] hash: the highest number of each publisher
-- ARGV    payload, entries kept, time to live in ms, publisher, its number of this notice, and the
--         number of the one sent before it
-- Answers with the entry's id; the newest one's, when it was there and is gone. Refuses what would
-- get ahead of the one before.
local before = '0-0'
local top = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if top then before = top[1] end
local by = ARGV[4] .. ':' .. ARGV[5]
local highest = tonumber(redis.call('HGET', KEYS[2], ARGV[4]) or '0')
if tonumber(ARGV[6] or '0') > highest then
  return redis.error_reply('AHEAD of the one before')
end
if tonumber(ARGV[5]) > highest then
  redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
else
  -- It comes late or again: most likely it is among the newest.
  local from, oldest, portion = '+', nil, nil
  repeat
    portion = redis.call('XREVRANGE', KEYS[1], from, '-', 'COUNT', 32)
    for _, entry in ipairs(portion) do
      if entry[2][6] == by then return entry[1] end
      from, oldest = '(' .. entry[1], entry
    end
  until #portion < 32
  -- A stream that has let entries go has had this one, too.
  if oldest and oldest[2][2] ~= '0-0' then return before end
end
local now = redis.call('TIME')
local at = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
local id = redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], '*',
  'after', before, 'at', at, 'by', by, 'is', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('PUBLISH', KEYS[1], before .. ' ' .. id .. ' ' .. ARGV[1])
return id
