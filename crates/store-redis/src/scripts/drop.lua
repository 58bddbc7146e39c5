-- Removes a listener's member and counts it off. ARGV: connection.
local row = member(ARGV[1])
if not is_listener(row) then
  return done()
end
leave(ARGV[1], row)
return done({ ARGV[1], row.claim })
