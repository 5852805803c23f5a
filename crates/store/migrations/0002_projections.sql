-- Projections: whatever stands here follows from the entries and can be made anew from them.

CREATE TABLE entry_key (
  key TEXT PRIMARY KEY,
  idx INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE kind_count (
  kind TEXT PRIMARY KEY,
  entries INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The last decision on each prefix that was not released since; it may have run out.
CREATE TABLE ban (
  prefix TEXT PRIMARY KEY,
  idx INTEGER NOT NULL,
  until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX ban_until ON ban (until);

CREATE TABLE offender (
  prefix TEXT PRIMARY KEY,
  bans INTEGER NOT NULL,
  last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX offender_last ON offender (last);

CREATE TABLE alert (
  idx INTEGER PRIMARY KEY,
  rule TEXT NOT NULL,
  value TEXT NOT NULL,
  last INTEGER NOT NULL
) STRICT;
CREATE INDEX alert_value ON alert (value);

CREATE TABLE refusal (
  idx INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  prefix TEXT
) STRICT;

CREATE TABLE loss (
  idx INTEGER PRIMARY KEY,
  entries INTEGER NOT NULL
) STRICT;
