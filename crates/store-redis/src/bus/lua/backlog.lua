-- What a new follower of a stream gets, the newest last, and where it goes on from.
-- KEYS[1] stream
-- ARGV    lowest id ('(5-1' for what comes after it), oldest age in ms or 0, most bytes,
--         most entries
-- Answers with the id of the newest entry of all, then for each entry its id and payload.
local top = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if not top then return { '0-0' } end
local lowest, age = ARGV[1], tonumber(ARGV[2])
local bytes, entries = tonumber(ARGV[3]), tonumber(ARGV[4])
local now = redis.call('TIME')
local oldest = now[1] * 1000 + math.floor(now[2] / 1000) - age
local found, from, enough = {}, '+', entries == 0
while not enough do
  -- In portions, so that a long stream of large entries is not loaded for its end.
  local portion = redis.call('XREVRANGE', KEYS[1], from, lowest, 'COUNT', 32)
  for _, entry in ipairs(portion) do
    local payload = entry[2][#entry[2]]
    bytes = bytes - #payload
    enough = bytes < 0 or #found >= entries or (age > 0 and tonumber(entry[2][4]) < oldest)
    if enough then break end
    found[#found + 1] = { entry[1], payload }
  end
  if #portion < 32 then break end
  from = '(' .. portion[#portion][1]
end
local answer = { top[1] }
for i = #found, 1, -1 do
  answer[#answer + 1] = found[i][1]
  answer[#answer + 1] = found[i][2]
end
return answer
