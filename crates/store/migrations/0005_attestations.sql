-- What others say of the ledger: witnesses' cosignatures and time stamps. Not in the tree, and not
-- made from it; each row can be checked by itself against the checkpoint that it speaks of.

-- The witnesses that are asked, as configured, and how that went.
CREATE TABLE witness (
  vkey TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  url TEXT NOT NULL,
  -- The last size that it is known to have cosigned.
  size INTEGER NOT NULL,
  -- When it last cosigned, and when it was last asked; nanoseconds.
  cosigned_at INTEGER,
  asked_at INTEGER,
  -- What went wrong when it was last asked; absent when it cosigned.
  trouble TEXT,
  -- 1: the trouble is that it saw another history.
  alarm INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The policy that a published checkpoint must meet (C2SP tlog-policy).
CREATE TABLE policy (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  text TEXT NOT NULL
) STRICT;

-- Signature lines by witnesses on the checkpoint of a size; thinned out with age.
CREATE TABLE cosignature (
  size INTEGER NOT NULL,
  witness TEXT NOT NULL,
  -- As signed: seconds.
  at INTEGER NOT NULL,
  line TEXT NOT NULL,
  PRIMARY KEY (size, witness)
) STRICT, WITHOUT ROWID;

-- Checkpoints with enough cosignatures; the newest is the one that is published.
CREATE TABLE cosigned (
  size INTEGER PRIMARY KEY,
  note TEXT NOT NULL
) STRICT;

-- RFC 3161 tokens over the SHA-256 of a checkpoint, with that very checkpoint.
CREATE TABLE stamp (
  id INTEGER PRIMARY KEY,
  size INTEGER NOT NULL,
  checkpoint TEXT NOT NULL,
  authority TEXT NOT NULL,
  -- As the authority says; nanoseconds.
  at INTEGER NOT NULL,
  tsr BLOB NOT NULL,
  ca TEXT
) STRICT;
