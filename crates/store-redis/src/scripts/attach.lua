-- Makes a connection the speaker's. The connection that was is dropped, the session extended.
-- ARGV: connection, row, owner, was speaker (empty: lost), was awaited until, expires, now, life,
-- changed after, changed at.
local connection, row, owner, speaker, awaited, expires, now, life, after, at = unpack(ARGV)
local new, there = read(row), member(connection)
local session = redis.call('HMGET', SESSION, 'speaker', 'until', 'owner', 'expires', 'changed')
if not session[1] then
  return stale()
end
if there then
  adopt(connection, there, new.claim)
end
local is_there = session[1] == connection
local is_longer = tonumber(expires) > tonumber(session[4])
if is_there and session[3] == owner and not is_longer then
  return done()
end
local is_taken = there and not is_there
local was_lost = session[1] == ''
local is_as_seen = session[1] == speaker
  and (not was_lost or (session[2] == awaited and session[5] == after))
if is_taken or is_listener(new) or is_expired(session[4], now) or session[3] ~= owner
  or not is_as_seen then
  return stale()
end
local gone = {}
if not is_there then
  if was_lost then
    redis.call('HSET', SESSION, 'changed', at)
  else
    local old = member(speaker)
    gone = { speaker, old.claim }
    leave(speaker, old)
  end
  redis.call('HSET', SESSION, 'speaker', connection, 'until', '0')
  enter(connection, new)
end
if is_longer then
  extend(expires, life)
end
return done(gone, is_longer)
