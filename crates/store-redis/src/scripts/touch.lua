-- Notes a sign of life or of age.
-- ARGV: connection, was seen, seen, beats, told (`-`: not now), warned (`0`: not now),
-- expires (empty: as it was), life.
local connection, was_seen, seen, beats, told, warned, expires, life = unpack(ARGV)
local row = member(connection)
if not row then
  return stale()
end
local tells, warns = told ~= '-', warned == '1'
local is_repetition = row.seen == seen and row.beats == beats
  and (not tells or row.told == told) and (not warns or row.warned == '1')
local is_fresh = row.seen == was_seen
  and (not tells or row.told == '-') and (not warns or row.warned == '0')
if not is_repetition and not is_fresh then
  return stale()
end
row.seen, row.beats = seen, beats
if warns then
  row.warned = '1'
end
if tells and row.told == '-' then
  row.told = told
  if is_listener(row) then
    take_turn(connection, row)
  end
end
keep(connection, row)
if expires == '' or tonumber(redis.call('HGET', SESSION, 'expires')) >= tonumber(expires) then
  return done()
end
extend(expires, life)
return done({}, true)
