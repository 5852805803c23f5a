//! README.txt: what a stranger reads first.

use model::Pap;

use super::{PackSources, words};

pub(super) const fn pap(pap: Pap) -> &'static str {
    match pap {
        Pap::Clear => "CLEAR",
        Pap::Green => "GREEN",
        Pap::Amber => "AMBER",
        Pap::Red => "RED",
    }
}

pub(super) fn text(sources: &PackSources<'_>) -> String {
    let dossier = sources.dossier;
    let case = &dossier.case;
    let line = |text: &str| words::one_line(text, 300);
    let head = format!(
        "{id}: {title}\n\
         ============================================================\n\n\
         Held by:        {holder}\n\
         As it stood at: {at}\n\
         Handling:       TLP:{tlp}, PAP:{pap}\n\
         Collected for:  {purpose}\n\
         On the authority of: {authority}\n\n",
        id = case.id,
        title = line(&case.title),
        holder = line(&dossier.holder),
        at = words::seconds_utc(dossier.now),
        tlp = case.tlp.name().to_uppercase(),
        pap = pap(case.pap),
        purpose = line(&case.purpose),
        authority = line(&case.authority),
    );
    let stamps = match sources.log.stamps.len() {
        0 => "This pack has no time stamp of an outside authority.\n".to_owned(),
        n => format!(
            "This pack has {n} time stamp(s) of an outside authority (RFC 3161). Check one with\n\
             \n    openssl ts -verify -in proofs/stamp-1.tsr -data proofs/stamp-1.checkpoint \\\n\
             \x20       -CAfile CERTIFICATE-OF-THE-AUTHORITY.pem\n\n\
             Take that certificate from the authority itself. A copy in proofs/ is only there for\n\
             comparison.\n"
        ),
    };
    head + START + CHECK + &stamps + KEYS + FILES
}

const START: &str = "\
WHERE TO BEGIN
--------------
Open data/report.pdf. It tells what happened, to whom, when, and what was done; it lists every
exhibit with its hashes and has a glossary. Nothing in this folder needs special software.

";

const CHECK: &str = "\
HOW TO CHECK THAT NOTHING WAS CHANGED
-------------------------------------
You need Python 3.8 or later and nothing else; no network. In this folder:

    python3 -I verify/verify.py

It reads every file, and says in plain words what is proven, by whom, and what is not. It ends
with OK or FAILED. The file is short; have somebody whom you trust read it, or use a copy of it
from another place: a verifier that comes with the evidence proves nothing by itself.
Any program for BagIt bags (RFC 8493) checks the files' hashes as well; the ledger's proofs are
in the public formats c2sp.org/tlog-proof, tlog-checkpoint and signed-note.

";

const KEYS: &str = "
WHOSE KEYS
----------
keys/log.vkey is the key of the ledger of whoever holds this case. Ask them, by telephone or in
person and not by the way by which this pack came, to read their key to you, and give it to the
verifier:

    python3 -I verify/verify.py --key 'NAME+HASH+BASE64'

keys/witnesses.vkey, if it is there, are keys of others who watched the ledger grow. Ask each of
them for theirs, and give them with --witness. What such a witness signed cannot have been
rewritten afterwards by the holder alone.

";

const FILES: &str = "\
WHAT IS IN THIS FOLDER
----------------------
data/report.pdf                     the report, for reading
data/exhibits/NUMBER/raw            the exhibit itself, byte for byte as it was taken
data/exhibits/NUMBER/acquisition.json  who took it, when, where, how, on what authority
data/exhibits/NUMBER/custody.json   everything that was done with it since
data/alerts.json                    the alerts, with the log lines that caused them
data/case.json                      the case: parties, losses, measures, bans, referrals
data/timeline.csv                   what happened when, for a spreadsheet
data/case.jsonld                    the case in CASE/UCO, for forensic tools
data/stix.json                      the case in STIX 2.1, for threat intelligence tools
data/rules/                         the detection rules that raised the alerts
proofs/checkpoint                   the ledger's signed state that all proofs lead to
proofs/N.tlog-proof                 the proof that entry N is on the ledger
proofs/N.leaf                       what the ledger holds of entry N: names no one
proofs/N.json                       entry N itself, with what opens the leaf's commitment to it
proofs/stamp-N.*                    time stamps of outside authorities, if there are any
keys/                               public keys and the policy for witnesses
verify/verify.py                    the verifier
manifest-*.txt, tagmanifest-*.txt   hashes of all files (BagIt, RFC 8493)
";
