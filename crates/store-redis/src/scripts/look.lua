-- Shows what was asked for, as it is at one moment.
-- ARGV: when the session is shown (never, always, member, speaker), own connection, named
-- connection, and source and language of who may be offered; empty for what is not asked.
-- Answers with the session's fields, the own row, the named row, the id and the row offered.
local when, own, named, like = unpack(ARGV)

local function row(id)
  return id ~= '' and redis.call('HGET', MEMBERS, id)
end

local own_row, named_row = row(own), row(named)
local is_shown = when == 'always' or (own_row and when == 'member')
  or (own_row and when == 'speaker' and read(own_row).role == '-')
local session = is_shown and redis.call('HGETALL', SESSION) or {}
local offered, offered_row = false, false
if like ~= '' then
  local range = { TOLD, '[' .. like, '(' .. like .. '\255', 'BYLEX', 'LIMIT', 0, 1 }
  local first = redis.call('ZRANGE', unpack(range))[1]
  if first then
    -- After the turn, which has sixteen digits, and a space.
    offered = string.sub(first, #like + 18)
    offered_row = redis.call('HGET', MEMBERS, offered)
  end
end
return { session, own_row, named_row, offered, offered_row }
