-- Contacts confirmed, transfers agreed to, orders taken in: which entries speak of which.
-- subject: the order's number, `contact`, or the case of a transfer.

CREATE TABLE authority_act (
  idx INTEGER PRIMARY KEY,
  subject TEXT NOT NULL
) STRICT;
CREATE INDEX authority_act_subject ON authority_act (subject);
