-- Points a connection to the session that it is about to be a member of.
-- KEYS[1] the pointer: `session stamp`. ARGV: session, life, and the pointer that may be replaced
-- (empty: none). Answers with what came of it, and the stamp, or the pointer that is in the way:
-- 0 in the way and fresh, 1 in the way, 2 it pointed there already, 3 it was made.
local session, life, replaced = unpack(ARGV)
local there = redis.call('GET', KEYS[1])
local now, is_same = micros(), false
if there then
  local other, stamp = string.match(there, '^(%S+) (%d+)$')
  is_same = other == session
  if not is_same and there ~= replaced then
    return { tonumber(stamp) > now - FRESH and 0 or 1, there }
  end
  -- Each claim has a stamp of its own, so that whoever takes back an older one leaves this.
  now = math.max(now, tonumber(stamp) + 1)
end
local pointer = session .. ' ' .. text(now)
if is_same then
  redis.call('SET', KEYS[1], pointer, 'KEEPTTL')
else
  redis.call('SET', KEYS[1], pointer, 'PX', life)
end
return { is_same and 2 or 3, text(now) }
