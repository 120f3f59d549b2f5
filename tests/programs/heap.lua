-- heap.lua - a heap of LuaJIT with holes that reports how large it is.
--
-- Prints one line of JSON: its pid, and how much it has in use. Then it waits until its standard input ends. With
-- `churn` it allocates all the time instead, until it is killed.
--
-- Run:  luajit heap.lua [churn]
local ffi = require("ffi")
ffi.cdef("int getpid(void);")

-- Objects of many sizes, of which every third stays.
local function fill(count)
  local kept = {}
  for i = 1, count do
    local object = { index = i, text = "block " .. i, list = {} }
    for j = 1, i % 20 do object.list[j] = j end
    if i % 3 == 0 then kept[#kept + 1] = object end
  end
  for i = 1, 10 do kept[#kept + 1] = string.rep("large", 60000 * i + #kept) end
  return kept
end

local kept = fill(100000)
collectgarbage("collect")
local used = collectgarbage("count") * 1024
print(string.format('{"pid":%d,"version":"%s","used":%d}', ffi.C.getpid(), jit.version, used))
io.stdout:flush()
if arg[1] == "churn" then
  while true do kept = fill(3000) end
end
io.read("*l")
print(#kept)
