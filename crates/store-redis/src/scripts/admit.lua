-- Makes a listener a member and counts it. ARGV: connection, row, max, now.
local connection, max, now = ARGV[1], ARGV[3], ARGV[4]
local new, there = read(ARGV[2]), member(ARGV[1])
local session = redis.call('HMGET', SESSION, 'expires', 'listeners')
if not session[1] or not is_listener(new) then
  return stale()
end
if there then
  adopt(connection, there, new.claim)
  if not is_listener(there) then
    return stale()
  end
  retune(connection, there, new.role)
  return done()
end
if is_expired(session[1], now) or tonumber(session[2]) >= tonumber(max) then
  return stale()
end
enter(connection, new)
return done()
