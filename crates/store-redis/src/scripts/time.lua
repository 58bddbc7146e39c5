-- The engine's clock, for what lies outside the sessions; in front of each script that uses it.
-- A commit takes far less than FRESH: what was written longer ago belongs to none under way.
local FRESH = 5000000

local function micros()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function text(number)
  return string.format('%.0f', number)
end
