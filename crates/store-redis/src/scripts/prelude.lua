-- What the scripts of one session share; it stands in front of each.
--
-- KEYS[1] the session: a hash of its fields, of `turns`, and of `in:xx`, listeners of language xx
-- KEYS[2] its members: a hash from connection id to row, the words of ROW
-- KEYS[3] who was told to refresh: `source language turn connection`, of one score, so in order
local SESSION, MEMBERS, TOLD = KEYS[1], KEYS[2], KEYS[3]

-- `role` is the language heard, `-` for the speaker; `told` is `-` until it was told; `claim` is
-- the stamp of the pointer that leads here; `turn` is its place among those told, 0 for none.
local ROW =
  { 'role', 'source', 'joined', 'connected', 'seen', 'beats', 'told', 'warned', 'claim', 'turn' }

-- What every change answers: whether it is done, whether the session lives longer by it, and who
-- is no member any more: id and claim, one after the other.
local function done(gone, extended)
  return { 1, extended and 1 or 0, gone or {} }
end

local function stale()
  return { 0, 0, {} }
end

local function read(text)
  local row, at = {}, 0
  for word in string.gmatch(text, '%S+') do
    at = at + 1
    row[ROW[at]] = word
  end
  return row
end

local function member(id)
  local text = redis.call('HGET', MEMBERS, id)
  return text and read(text)
end

local function is_listener(row)
  return row and row.role ~= '-'
end

local function is_expired(expires, now)
  return tonumber(expires) <= tonumber(now)
end

-- A key that came back after it was empty goes when the session's does.
local function expire_with_session(key)
  local left = redis.call('PTTL', SESSION)
  if left > 0 then
    redis.call('PEXPIRE', key, left)
  end
end

local function keep(id, row)
  local words = {}
  for at, name in ipairs(ROW) do
    words[at] = row[name]
  end
  redis.call('HSET', MEMBERS, id, table.concat(words, ' '))
end

local function place(id, row)
  return string.format('%s %s %016d %s', row.source, row.role, tonumber(row.turn), id)
end

local function has_turn(row)
  return tonumber(row.turn) > 0
end

-- Puts a listener that was told behind the others that were.
local function take_turn(id, row)
  row.turn = redis.call('HINCRBY', SESSION, 'turns', 1)
  redis.call('ZADD', TOLD, 0, place(id, row))
  expire_with_session(TOLD)
end

-- Counts a listener on or off. Nothing else touches the counts.
local function count(language, by)
  redis.call('HINCRBY', SESSION, 'listeners', by)
  if redis.call('HINCRBY', SESSION, 'in:' .. language, by) == 0 then
    redis.call('HDEL', SESSION, 'in:' .. language)
  end
end

local function enter(id, row)
  if is_listener(row) then
    count(row.role, 1)
    if row.told ~= '-' then
      take_turn(id, row)
    end
  end
  keep(id, row)
  expire_with_session(MEMBERS)
end

local function leave(id, row)
  if is_listener(row) then
    count(row.role, -1)
    if has_turn(row) then
      redis.call('ZREM', TOLD, place(id, row))
    end
  end
  redis.call('HDEL', MEMBERS, id)
end

-- Changes a listener's language; its turn stays.
local function retune(id, row, language)
  if has_turn(row) then
    redis.call('ZREM', TOLD, place(id, row))
  end
  count(row.role, -1)
  count(language, 1)
  row.role = language
  if has_turn(row) then
    redis.call('ZADD', TOLD, 0, place(id, row))
    expire_with_session(TOLD)
  end
  keep(id, row)
end

-- A member that was claimed once more goes with its latest claim.
local function adopt(id, row, claim)
  if tonumber(claim) > tonumber(row.claim) then
    row.claim = claim
    keep(id, row)
  end
end

local function extend(expires, life)
  redis.call('HSET', SESSION, 'expires', expires)
  for _, key in ipairs(KEYS) do
    redis.call('PEXPIRE', key, life)
  end
end
