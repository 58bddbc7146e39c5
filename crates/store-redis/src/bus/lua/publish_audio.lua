-- Adds a frame to a channel's stream and tells it to those who follow the channel.
-- KEYS[1] stream, also the name of the channel
-- KEYS[2] the last sequence, which outlives the stream: after a silence the talk goes on
-- ARGV    sequence, payload, entries kept, time to live of the stream and of the last sequence in
--         ms, and the sequence sent before it
-- Answers with the entry's id, or nothing when the channel is already that far. Refuses what would
-- get ahead of the one before.
local said = redis.call('GET', KEYS[2])
local last = tonumber(said or '-1')
if tonumber(ARGV[1]) <= last then return false end
if tonumber(ARGV[6] or '-1') > last then return redis.error_reply('AHEAD of the one before') end
-- A stream that is gone begins anew for those who follow it.
local before = '0-0'
if said and redis.call('EXISTS', KEYS[1]) == 1 then before = said .. '-1' end
local now = redis.call('TIME')
local at = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], ARGV[1] .. '-1',
  'after', before, 'at', at, 'is', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[5])
redis.call('PUBLISH', KEYS[1], before .. ' ' .. id .. ' ' .. ARGV[2])
return id
