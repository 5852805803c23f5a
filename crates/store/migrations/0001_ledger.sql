-- The ledger itself. Nothing here can be computed from anything else.

-- The tree's size, its right edge (32 bytes for each bit set in size) and its signed checkpoint.
CREATE TABLE log (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  size INTEGER NOT NULL,
  edge BLOB NOT NULL,
  checkpoint TEXT NOT NULL
) STRICT;

-- Either salt and payload are there, or erased_at says since when they are not.
CREATE TABLE entry (
  idx INTEGER PRIMARY KEY,
  leaf BLOB NOT NULL,
  leaf_hash BLOB NOT NULL,
  salt BLOB,
  payload BLOB,
  erased_at INTEGER
) STRICT;

-- Roots of perfect subtrees of 256^level leaves; those of level 0 stand with their entries.
CREATE TABLE node (
  level INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  hash BLOB NOT NULL,
  PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID;

-- Earlier checkpoints, thinned out with age.
CREATE TABLE checkpoint (
  size INTEGER PRIMARY KEY,
  note TEXT NOT NULL
) STRICT;
