//! What Redis does in one step each. Its own clock counts, in microseconds.
//!
//! The mark says which era is counted in, and when that was last seen to: there is one at a time, so that a new one ends
//! the last for whoever still asks in it. A clock that is now further from that moment than gateways leave between two
//! looks has been set, or this is an old copy of what was once: then the era is not known any more, since neither what is
//! due nor which calls are over can be told.

use std::sync::LazyLock;

use redis::Script;

/// Begins every script that knows of eras.
const KNOWN: &str = r"
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local function known(mark, era)
  local is, seen = string.match(redis.call('GET', mark) or '', '^(%d+) (%d+)$')
  return is == era and math.abs(now - tonumber(seen)) < 3000000
end
local function see(mark, era)
  redis.call('SET', mark, string.format('%s %.0f', era, now), 'PX', 86400000)
end
";

fn script(body: &str) -> Script {
    Script::new(&format!("{KNOWN}{body}"))
}

/// The rate (GCRA) and the calls under way, both asked for and taken at once.
///
/// KEYS: the mark, the provider's rate, its permits. ARGV: the era, the permit, the time between two calls, the burst,
/// the most calls under way, how long a permit lasts, whether the rate starts empty, and permits that have ended.
/// Gives 0 and 0: taken; 1 and the microseconds to wait; 2 and 0: too many under way; 3 and 0: the era is not known.
///
/// Where gateways have different limits, while they reload, one may owe more than another's whole burst, and waits.
pub(super) static TAKE: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
if not known(KEYS[1], ARGV[1]) then return {3, 0} end
local period, burst, limit, lasts = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
if #ARGV > 7 then redis.call('ZREM', KEYS[3], unpack(ARGV, 8)) end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
local full = now + burst * period
local due = tonumber(redis.call('GET', KEYS[2]))
if not due or ARGV[7] == '1' then
  due = full
  redis.call('SET', KEYS[2], string.format('%.0f', due), 'PX', 86400000)
end
if redis.call('ZCARD', KEYS[3]) >= limit then return {2, 0} end
local wait = due + period - full
if wait > 0 then return {1, wait} end
if due < now then due = now end
redis.call('SET', KEYS[2], string.format('%.0f', due + period), 'PX', 86400000)
redis.call('ZADD', KEYS[3], now + lasts, ARGV[2])
redis.call('PEXPIRE', KEYS[3], 86400000)
return {0, 0}",
    )
});

/// One call of one client. KEYS: the mark, the client's pace. ARGV: the era, the time between two calls, the burst, and
/// for how long the gateway that asks has counted by Redis: what is not known of the client was empty then, since what it
/// had by other counts is not known either. Gives 0 and 0: let in; 1 and the microseconds until there is another; 3 and
/// 0: the era is not known.
pub(super) static ADMIT: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
if not known(KEYS[1], ARGV[1]) then return {3, 0} end
local period, burst = tonumber(ARGV[2]), tonumber(ARGV[3])
local due = tonumber(redis.call('GET', KEYS[2])) or now - tonumber(ARGV[4]) + burst * period
if due < now then due = now end
local wait = due + period - now - burst * period
if wait > 0 then return {1, wait} end
due = due + period
redis.call('SET', KEYS[2], string.format('%.0f', due), 'PX', math.ceil((due - now) / 1000) + 1000)
return {0, 0}",
    )
});

/// Sees to the era. KEYS: the mark. ARGV: the era. Gives whether it is known.
pub(super) static BEAT: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
if not known(KEYS[1], ARGV[1]) then return 0 end
see(KEYS[1], ARGV[1])
return 1",
    )
});

/// Enters calls that are under way. KEYS: the mark, and the permits of some providers. ARGV: the era, whether it begins
/// with this, and for each provider how many follow, and those, each with how long it lasts. Gives whether it is known.
pub(super) static ENTER: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
if ARGV[2] ~= '1' and not known(KEYS[1], ARGV[1]) then return 0 end
see(KEYS[1], ARGV[1])
local at = 3
for provider = 2, #KEYS do
  local last = at + 2 * tonumber(ARGV[at])
  while at < last do
    redis.call('ZADD', KEYS[provider], now + tonumber(ARGV[at + 2]), ARGV[at + 1])
    redis.call('PEXPIRE', KEYS[provider], 86400000)
    at = at + 2
  end
  at = at + 1
end
return 1",
    )
});

/// Everything that the others do, so that a Redis that is full, only reads or has no leave for something is found out
/// before it is gone by. KEYS: two of this gateway's own.
pub(super) static PROBE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
redis.call('TIME')
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('SET', KEYS[1], '1', 'PX', 60000)
redis.call('GET', KEYS[1])
redis.call('ZADD', KEYS[2], 1, 'one', 2, 'other')
redis.call('PEXPIRE', KEYS[2], 60000)
redis.call('ZREM', KEYS[2], 'one')
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', 1)
return redis.call('ZCARD', KEYS[2])",
    )
});
