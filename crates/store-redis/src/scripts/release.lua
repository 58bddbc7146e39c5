-- Removes a pointer, unless it was claimed anew. KEYS[1] the pointer. ARGV: the pointer as it was.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
