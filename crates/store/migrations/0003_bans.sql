-- A ban's row says all that a guard must know at its start, so that no payload is read for it.
-- The rows themselves are made from the entries by the program.
DROP TABLE ban;

-- The last decision on each prefix that was not released since; it may have run out.
CREATE TABLE ban (
  -- 4 or 6, the address, the length: sorts as prefixes do.
  prefix BLOB PRIMARY KEY,
  idx INTEGER NOT NULL,
  begun INTEGER NOT NULL,
  until INTEGER NOT NULL,
  -- 0: this machine's own detection; 1: an operator.
  by INTEGER NOT NULL,
  -- The first alert that led here, and how many sources did.
  alert BLOB,
  sources INTEGER NOT NULL,
  repeat INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Has the prefix too, so it alone tells what must be in the kernel.
CREATE INDEX ban_until ON ban (until);
