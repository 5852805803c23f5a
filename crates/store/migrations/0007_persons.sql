-- Persons with keys of their own: which entries enrolled or revoked them.

CREATE TABLE person_act (
  idx INTEGER PRIMARY KEY
) STRICT;
