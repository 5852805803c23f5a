-- Cases, exhibits and hand-overs: which entries speak of which.

CREATE TABLE case_act (
  idx INTEGER PRIMARY KEY,
  case_no TEXT NOT NULL
) STRICT;
CREATE INDEX case_act_case ON case_act (case_no);

-- The alerts that are in a case now.
CREATE TABLE case_alert (
  case_no TEXT NOT NULL,
  alert BLOB NOT NULL,
  PRIMARY KEY (case_no, alert)
) STRICT, WITHOUT ROWID;
CREATE INDEX case_alert_alert ON case_alert (alert);

-- case_no: the case that an acquisition names.
CREATE TABLE exhibit_act (
  idx INTEGER PRIMARY KEY,
  exhibit TEXT NOT NULL,
  case_no TEXT
) STRICT;
CREATE INDEX exhibit_act_exhibit ON exhibit_act (exhibit);
CREATE INDEX exhibit_act_case ON exhibit_act (case_no) WHERE case_no IS NOT NULL;

-- case_no: the case that an offer is of.
CREATE TABLE handover_act (
  idx INTEGER PRIMARY KEY,
  handover TEXT NOT NULL,
  case_no TEXT
) STRICT;
CREATE INDEX handover_act_handover ON handover_act (handover);
CREATE INDEX handover_act_case ON handover_act (case_no) WHERE case_no IS NOT NULL;

CREATE TABLE release (
  idx INTEGER PRIMARY KEY,
  prefix BLOB NOT NULL
) STRICT;
CREATE INDEX release_prefix ON release (prefix);
