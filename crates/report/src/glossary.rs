//! Words that a reader of the report may not know.

use crate::page::Paper;

const WORDS: [(&str, &str); 16] = [
    (
        "Alert",
        "A detection rule counted enough hostile events from one source.",
    ),
    (
        "Ban",
        "The victim's own packet filter drops what comes from a source until a given time. \
         Nothing is done to anybody else's machine.",
    ),
    (
        "Checkpoint",
        "The ledger's signed state: its name, its number of entries, its root hash.",
    ),
    (
        "Commitment",
        "A hash over a secret random number and an entry's content. It binds the content without \
         telling it; whoever has number and content can check it.",
    ),
    (
        "Custody",
        "Who had an exhibit, when, and what was done with it, from its taking to now.",
    ),
    (
        "Event",
        "One line of a log that counted towards an alert: one failed login, one request.",
    ),
    (
        "Exhibit",
        "A file taken as evidence. It is never changed; a shortened one is a new exhibit that \
         names the one it was made from.",
    ),
    (
        "Hash",
        "A number computed from a file (SHA-256, SHA-512). If one letter of the file changes, so \
         does the number; nobody can make another file with the same one.",
    ),
    (
        "Inclusion proof",
        "A few hashes by which anyone can compute the ledger's root hash from one entry: if it \
         comes out, the entry is on the ledger.",
    ),
    (
        "Ledger",
        "A record to which entries can only be added, and where a change shows.",
    ),
    (
        "PAP",
        "Permissible Actions Protocol: what a receiver may do with what it is told, from RED \
         (nothing that the other side could notice) to CLEAR.",
    ),
    (
        "Root hash",
        "One number that stands for all entries of the ledger, in their order.",
    ),
    (
        "Time stamp",
        "A statement of an outside authority that something existed at a time (RFC 3161).",
    ),
    (
        "TLP",
        "Traffic Light Protocol 2.0: who may be told. RED: only the people addressed; AMBER+STRICT: \
         their organisation; AMBER: also its clients; GREEN: its community; CLEAR: everybody.",
    ),
    (
        "UTC",
        "The world's common time. Local time is some hours more or less.",
    ),
    (
        "Witness",
        "Somebody else who watches the ledger grow and signs its state only if nothing that was \
         there before has changed. It sees hashes only, no content.",
    ),
];

pub(crate) fn write(paper: &mut Paper<'_>) {
    paper.chapter("Glossary");
    for (word, meaning) in WORDS {
        paper.fact(word, meaning);
    }
}
