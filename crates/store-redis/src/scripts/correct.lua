-- Notes what was found of a session: that it is not due before this, or that it is not there.
-- KEYS as in `announce`. ARGV: session, when its moment was announced as far as known before it was
-- looked at (empty: long ago), moment (empty: not there).
local session, known, moment = unpack(ARGV)
local announced = redis.call('ZSCORE', KEYS[2], session)
-- What was announced since, or just before, may have been committed after the look.
if (announced or '') ~= known or (announced and tonumber(announced) > micros() - FRESH) then
  return 0
end
redis.call('ZREM', KEYS[2], session)
if moment == '' then
  redis.call('ZREM', KEYS[1], session)
else
  redis.call('ZADD', KEYS[1], 'XX', moment, session)
end
return 1
