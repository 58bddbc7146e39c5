-- Ends a session; nothing of it remains. ARGV: the guard's name, and its value.
local guard, value = unpack(ARGV)
local session = redis.call('HMGET', SESSION, 'speaker', 'until', 'expires')
if not session[1] then
  return done()
end
local holds = guard == 'present'
  or (guard == 'spoken' and session[1] == value)
  or (guard == 'expired' and is_expired(session[3], value))
  or (guard == 'grace' and session[1] == '' and tonumber(session[2]) <= tonumber(value))
if not holds then
  return stale()
end
local gone, members = {}, redis.call('HGETALL', MEMBERS)
for at = 1, #members, 2 do
  -- Whatever else is in a row that cannot be read, its member goes too.
  gone[at], gone[at + 1] = members[at], read(members[at + 1]).claim or '0'
end
redis.call('UNLINK', SESSION, MEMBERS, TOLD)
return done(gone)
