-- Moves a listener's member to another connection. ARGV: from, to, row of to, now.
local from, to, now = ARGV[1], ARGV[2], ARGV[4]
local new, there, old = read(ARGV[3]), member(to), member(from)
local expires = redis.call('HGET', SESSION, 'expires')
if not expires then
  return stale()
end
if there then
  adopt(to, there, new.claim)
end
if not is_listener(old) then
  local is_repetition = is_listener(there) and there.role == new.role
  return is_repetition and done() or stale()
end
local is_taken = there and not is_listener(there)
if is_taken or not is_listener(new) or is_expired(expires, now) then
  return stale()
end
local gone = {}
if from ~= to then
  gone = { from, old.claim }
  leave(from, old)
end
if there then
  there.joined = new.joined
  retune(to, there, new.role)
else
  enter(to, new)
end
return done(gone)
