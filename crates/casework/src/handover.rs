//! Handing a case's file to somebody and getting a receipt: two acts, each signed by its own side
//! over the same manifest, and what follows between the two.
//!
//! A hand-over is the sum of its acts on a ledger, as a case is. Both sides keep the acts on their
//! own ledgers; a hub between them keeps them on its own. Signatures are C2SP signed notes by a
//! log's key over the texts made here, which never read as a checkpoint: their second line is no
//! number. Must not: take a receipt for another manifest than the one offered.

pub mod api;

use ledger::VerifyingKey;
use model::{ContentHash, HandoverAct, Outcome, Timestamp};

/// What people may write into one field.
pub const TEXT_CHARS_MAX: usize = 4_000;
/// Names of people, organisations and numbers.
pub const NAME_CHARS_MAX: usize = 200;
/// Acts of one hand-over.
pub const ACTS_MAX: usize = 1_000;
/// Of them, looks of the receiver: the rest is kept for what matters.
pub const LOOKS_MAX: u64 = 100;
/// How far the two sides' clocks may be apart.
pub const CLOCKS_APART_MAX: std::time::Duration = std::time::Duration::from_secs(86_400);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandoverError {
    #[error("{handover} does not begin with its offer")]
    NotOffered { handover: String },
    #[error("{handover} was offered before")]
    OfferedTwice { handover: String },
    #[error("{handover} was {was} before; nothing was changed")]
    Settled { handover: String, was: &'static str },
    #[error("{handover} was not received yet: `posse handover receive {handover}` first")]
    NotReceived { handover: String },
    #[error(
        "the manifest is {found}, the one offered is {offered}: what was received is not what was \
         offered; do not sign, ask for it again"
    )]
    Manifest {
        offered: ContentHash,
        found: ContentHash,
    },
    #[error("the signature of {who} does not hold: {why}")]
    Signature { who: &'static str, why: String },
    #[error("{what}: {why}")]
    Text { what: &'static str, why: String },
    #[error("{handover} has no request {request}")]
    NoRequest { handover: String, request: String },
    #[error("{handover} has {ACTS_MAX} acts; no more are taken")]
    TooMany { handover: String },
    #[error("{handover} was taken {LOOKS_MAX} times; ask its sender to offer it anew")]
    TooManyLooks { handover: String },
    #[error("the times are more than a day apart; set the clock right and try again")]
    Clock,
}

/// The number without the organisation that a hub puts before it.
pub fn number(handover: &str) -> &str {
    handover.rsplit('/').next().unwrap_or(handover)
}

/// What the sender's and the receiver's signatures stand for.
fn signed_text(act: &HandoverAct) -> Option<(String, &str, &str)> {
    match act {
        HandoverAct::Offered {
            at,
            handover,
            case,
            referral,
            from,
            to,
            by,
            manifest,
            package,
            bytes,
            key,
            signature,
        } => {
            let text = format!(
                "posse hand-over offer v1\nhandover {}\ncase {case}\nreferral {referral}\nfrom \
                 {from}\nto {to}\nmanifest {manifest}\npackage {package}\nbytes {bytes}\nby \
                 {by}\nat {at}\n",
                number(handover)
            );
            Some((text, key, signature))
        }
        HandoverAct::Received {
            at,
            handover,
            by,
            manifest,
            key,
            signature,
        } => {
            let text = format!(
                "posse hand-over receipt v1\nhandover {}\nmanifest {manifest}\nby {by}\nat {at}\n",
                number(handover)
            );
            Some((text, key, signature))
        }
        _ => None,
    }
}

/// Lets `sign` make a signed note of the act's text, and keeps key and signature in the act.
pub fn sign(act: &mut HandoverAct, vkey: &str, sign: impl FnOnce(&str) -> String) {
    let Some((text, ..)) = signed_text(act) else {
        return;
    };
    let note = sign(&text);
    let line = note
        .strip_prefix(&text)
        .unwrap_or_default()
        .trim_matches('\n');
    if let HandoverAct::Offered { key, signature, .. }
    | HandoverAct::Received { key, signature, .. } = act
    {
        *key = vkey.to_owned();
        line.clone_into(signature);
    }
}

/// The act's text and signature as a file that any tool for signed notes can check.
pub fn note(act: &HandoverAct) -> Option<String> {
    let (text, _, signature) = signed_text(act)?;
    Some(format!("{text}\n{signature}\n"))
}

/// Whether the act's texts are plain, and its signature, if it has one, holds.
pub fn check(act: &HandoverAct) -> Result<(), HandoverError> {
    check_texts(act)?;
    let who = match act {
        HandoverAct::Offered { .. } => "the sender",
        _ => "the receiver",
    };
    let Some((text, key, signature)) = signed_text(act) else {
        return Ok(());
    };
    let bad = |e: ledger::LedgerError| HandoverError::Signature {
        who,
        why: e.to_string(),
    };
    let key = VerifyingKey::parse(key).map_err(bad)?;
    let note = format!("{text}\n{signature}\n");
    let opened = key.open_note(&note).map_err(bad)?;
    if opened != text {
        let why = "it stands under another text".to_owned();
        return Err(HandoverError::Signature { who, why });
    }
    Ok(())
}

fn check_texts(act: &HandoverAct) -> Result<(), HandoverError> {
    name("the hand-over's number", act.handover())?;
    match act {
        HandoverAct::Offered {
            case,
            referral,
            from,
            to,
            by,
            ..
        } => {
            for (what, text) in [
                ("the case", case),
                ("the referral", referral),
                ("the organisation that offers", from),
                ("the organisation it is offered to", to),
                ("the person", by),
            ] {
                name(what, text)?;
            }
            Ok(())
        }
        HandoverAct::Received { by, .. } => name("the person", by),
        HandoverAct::Declined { by, reason, .. } => {
            name("the person", by)?;
            words("the reason", reason)
        }
        HandoverAct::Looked { by, what, .. } => {
            name("the person", by)?;
            words("what was looked at", what)
        }
        HandoverAct::MoreAsked {
            request,
            by,
            wish,
            legal_basis,
            ..
        } => {
            name("the request's number", request)?;
            name("the person", by)?;
            words("the wish", wish)?;
            words("the legal basis", legal_basis)
        }
        HandoverAct::Answered {
            request,
            by,
            answer,
            ..
        } => {
            name("the request's number", request)?;
            name("the person", by)?;
            words("the answer", answer)
        }
        HandoverAct::OutcomeReported { by, outcome, .. } => {
            name("the person", by)?;
            words("the outcome's source", &outcome.source)?;
            if outcome.note.is_empty() {
                return Ok(());
            }
            words("the outcome's note", &outcome.note)
        }
    }
}

fn name(what: &'static str, text: &str) -> Result<(), HandoverError> {
    plain(what, text, NAME_CHARS_MAX, |c| c.is_control())
}

/// Line ends may be in it.
fn words(what: &'static str, text: &str) -> Result<(), HandoverError> {
    plain(what, text, TEXT_CHARS_MAX, |c| c.is_control() && c != '\n')
}

fn plain(
    what: &'static str,
    text: &str,
    max: usize,
    is_bad: impl Fn(char) -> bool,
) -> Result<(), HandoverError> {
    let why = if text.trim().is_empty() {
        "it is empty".to_owned()
    } else if text.chars().count() > max {
        format!("it has more than {max} characters")
    } else if text.chars().any(is_bad) {
        "it holds control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(HandoverError::Text { what, why })
}

/// A request for more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    pub request: String,
    pub at: Timestamp,
    pub by: String,
    pub wish: String,
    pub legal_basis: String,
    pub due: Timestamp,
    pub answer: Option<String>,
}

/// What became of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has signed for it.
    Offered,
    Received {
        at: Timestamp,
        by: String,
        key: String,
    },
    Declined {
        at: Timestamp,
        by: String,
        reason: String,
    },
}

/// A hand-over after its acts so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    pub id: String,
    pub case: String,
    pub referral: String,
    pub from: String,
    pub to: String,
    pub by: String,
    pub offered: Timestamp,
    pub manifest: ContentHash,
    pub package: ContentHash,
    pub bytes: u64,
    pub standing: Standing,
    pub looks: u64,
    pub wishes: Vec<Wish>,
    pub outcomes: Vec<Outcome>,
    acts: usize,
}

impl Handover {
    /// The sum of acts in the ledger's order; those that do not fit are an error.
    pub fn of<'a>(acts: impl IntoIterator<Item = &'a HandoverAct>) -> Result<Self, HandoverError> {
        let mut acts = acts.into_iter();
        let none = || HandoverError::NotOffered {
            handover: "the hand-over".to_owned(),
        };
        let mut sum = Self::begin(acts.next().ok_or_else(none)?)?;
        for act in acts {
            sum.take(act)?;
        }
        Ok(sum)
    }

    fn begin(act: &HandoverAct) -> Result<Self, HandoverError> {
        let HandoverAct::Offered {
            at,
            handover,
            case,
            referral,
            from,
            to,
            by,
            manifest,
            package,
            bytes,
            ..
        } = act
        else {
            return Err(HandoverError::NotOffered {
                handover: act.handover().to_owned(),
            });
        };
        check(act)?;
        Ok(Self {
            id: handover.clone(),
            case: case.clone(),
            referral: referral.clone(),
            from: from.clone(),
            to: to.clone(),
            by: by.clone(),
            offered: *at,
            manifest: *manifest,
            package: *package,
            bytes: *bytes,
            standing: Standing::Offered,
            looks: 0,
            wishes: Vec::new(),
            outcomes: Vec::new(),
            acts: 1,
        })
    }

    /// Whether the act may follow, and then what it changes.
    pub fn take(&mut self, act: &HandoverAct) -> Result<(), HandoverError> {
        check(act)?;
        if self.acts >= ACTS_MAX {
            return Err(HandoverError::TooMany {
                handover: self.id.clone(),
            });
        }
        self.apply(act)?;
        self.acts += 1;
        Ok(())
    }

    fn apply(&mut self, act: &HandoverAct) -> Result<(), HandoverError> {
        match act.clone() {
            HandoverAct::Offered { handover, .. } => {
                return Err(HandoverError::OfferedTwice { handover });
            }
            HandoverAct::Received {
                at,
                by,
                manifest,
                key,
                ..
            } => {
                self.must_be_open()?;
                if manifest != self.manifest {
                    return Err(HandoverError::Manifest {
                        offered: self.manifest,
                        found: manifest,
                    });
                }
                self.standing = Standing::Received { at, by, key };
            }
            HandoverAct::Declined { at, by, reason, .. } => {
                self.must_be_open()?;
                self.standing = Standing::Declined { at, by, reason };
            }
            HandoverAct::Looked { .. } if self.looks >= LOOKS_MAX => {
                return Err(HandoverError::TooManyLooks {
                    handover: self.id.clone(),
                });
            }
            HandoverAct::Looked { .. } => self.looks += 1,
            HandoverAct::MoreAsked {
                at,
                request,
                by,
                wish,
                legal_basis,
                due,
                ..
            } => {
                self.must_be_received()?;
                self.wishes.push(Wish {
                    request,
                    at,
                    by,
                    wish,
                    legal_basis,
                    due,
                    answer: None,
                });
            }
            HandoverAct::Answered {
                request, answer, ..
            } => {
                let handover = self.id.clone();
                let mut wishes = self.wishes.iter_mut();
                let wish = wishes
                    .find(|wish| wish.request == request)
                    .ok_or(HandoverError::NoRequest { handover, request })?;
                wish.answer = Some(answer);
            }
            HandoverAct::OutcomeReported { outcome, .. } => {
                self.must_be_received()?;
                self.outcomes.push(outcome);
            }
        }
        Ok(())
    }

    fn must_be_open(&self) -> Result<(), HandoverError> {
        let was = match self.standing {
            Standing::Offered => return Ok(()),
            Standing::Received { .. } => "received",
            Standing::Declined { .. } => "declined",
        };
        Err(HandoverError::Settled {
            handover: self.id.clone(),
            was,
        })
    }

    fn must_be_received(&self) -> Result<(), HandoverError> {
        if matches!(self.standing, Standing::Received { .. }) {
            return Ok(());
        }
        Err(HandoverError::NotReceived {
            handover: self.id.clone(),
        })
    }

    /// How long the offer has waited for a receipt.
    pub fn waits(&self, now: Timestamp) -> Option<std::time::Duration> {
        (self.standing == Standing::Offered).then(|| now.since(self.offered))
    }

    pub fn in_words(&self, now: Timestamp) -> String {
        match &self.standing {
            Standing::Offered => format!(
                "offered, not received ({})",
                crate::span_in_words(now.since(self.offered))
            ),
            Standing::Received { at, by, .. } => format!("received {at} by {by}"),
            Standing::Declined { at, by, .. } => format!("declined {at} by {by}"),
        }
    }

    /// The number of the next request.
    pub fn next_request(&self) -> String {
        format!("RQ-{}", self.wishes.len() + 1)
    }
}

#[cfg(test)]
mod tests;
