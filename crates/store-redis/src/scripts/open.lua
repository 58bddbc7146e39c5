-- Makes a session and its speaker's connection.
-- ARGV: connection, owner, created, row, life, and the session's fields with their values; without
-- fields it can only be a repetition.
local connection, owner, created, row, life = unpack(ARGV, 1, 5)
local there = redis.call('HMGET', SESSION, 'speaker', 'owner', 'created')
if there[1] then
  if there[1] ~= connection or there[2] ~= owner or there[3] ~= created then
    return stale()
  end
  adopt(connection, member(connection), read(row).claim)
  return done()
end
if #ARGV == 5 then
  return stale()
end
redis.call('HSET', SESSION, unpack(ARGV, 6))
redis.call('PEXPIRE', SESSION, life)
enter(connection, read(row))
return done()
