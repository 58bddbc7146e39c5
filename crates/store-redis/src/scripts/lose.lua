-- Drops the speaker's connection and awaits the speaker. ARGV: connection, until, now.
local connection, awaited, now = unpack(ARGV)
local session = redis.call('HMGET', SESSION, 'speaker', 'until')
local row = member(connection)
if session[1] == '' and session[2] == awaited and not row then
  return done()
end
if session[1] ~= connection then
  return stale()
end
redis.call('HSET', SESSION, 'speaker', '', 'until', awaited, 'changed', now)
leave(connection, row)
return done({ connection, row.claim })
