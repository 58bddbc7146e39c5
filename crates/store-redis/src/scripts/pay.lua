-- A token bucket: the moment, in microseconds, at which it will be full again.
-- KEYS[1] the bucket. ARGV: microseconds for one token, for all of them, take or show.
-- Answers with the milliseconds until there is a token; 0: it was paid.
local interval, span, now = tonumber(ARGV[1]), tonumber(ARGV[2]), micros()
local full_at = tonumber(redis.call('GET', KEYS[1]) or 0)
-- A clock that was set back must not lock anybody out for longer than an empty bucket.
local after = math.max(math.min(full_at, now + span), now) + interval
local late = after - (now + span)
if late > 0 then
  return math.ceil(late / 1000)
end
if ARGV[3] == 'take' then
  redis.call('SET', KEYS[1], text(after), 'PX', math.ceil((after - now) / 1000))
end
return 0
