-- Pauses, resumes, mutes or unmutes.
-- ARGV: connection, was paused, was muted, becomes paused, becomes muted, changed after,
-- changed at.
local connection, was_paused, was_muted, paused, muted, after, at = unpack(ARGV)
local session = redis.call('HMGET', SESSION, 'speaker', 'paused', 'muted', 'changed')
if session[1] ~= connection then
  return stale()
end
if session[2] == paused and session[3] == muted and session[4] == at then
  return done()
end
if session[2] ~= was_paused or session[3] ~= was_muted or session[4] ~= after then
  return stale()
end
redis.call('HSET', SESSION, 'paused', paused, 'muted', muted, 'changed', at)
return done()
