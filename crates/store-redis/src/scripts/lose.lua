-- Drops the speaker's connection and awaits the speaker. ARGV: connection, until,
-- changed after, changed at.
local connection, awaited, after, at = unpack(ARGV)
local session = redis.call('HMGET', SESSION, 'speaker', 'until', 'changed')
local row = member(connection)
if session[1] == '' and session[2] == awaited and not row then
  return done()
end
if session[1] ~= connection or session[3] ~= after then
  return stale()
end
redis.call('HSET', SESSION, 'speaker', '', 'until', awaited, 'changed', at)
leave(connection, row)
return done({ connection, row.claim })
