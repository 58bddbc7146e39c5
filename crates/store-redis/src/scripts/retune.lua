-- Changes a listener's language. ARGV: connection, language.
local row = member(ARGV[1])
if not is_listener(row) then
  return stale()
end
retune(ARGV[1], row, ARGV[2])
return done()
