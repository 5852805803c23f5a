//! Time stamps of the ledger's published checkpoint: asked for on a schedule, or now.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crossbeam_channel::Receiver;
use model::Timestamp;
use store::{Attestations, Stamp};

use crate::{
    OpenLogError, Setup, StampError, Token,
    ask::{Outlet, goes_on},
    clock,
    config::Authority,
    error::full,
    http,
    stamp::{self, Imprint},
};

/// How often the schedule is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const RETRY_FIRST: Duration = Duration::from_secs(60);
const RETRY_LAST: Duration = Duration::from_secs(3_600);

/// The thread that keeps the schedule.
pub(crate) struct Stamper {
    state: PathBuf,
    setup: Setup,
    outlet: Arc<dyn Outlet>,
    /// Of each authority: failures in a row, and not to be asked before.
    trouble: Vec<(u32, Timestamp)>,
}

impl Stamper {
    pub(crate) fn new(state: PathBuf, setup: Setup, outlet: Arc<dyn Outlet>) -> Self {
        let trouble = vec![(0, Timestamp::EPOCH); setup.authorities.len()];
        Self {
            state,
            setup,
            outlet,
            trouble,
        }
    }

    pub(crate) fn run(mut self, stopped: &Receiver<()>) {
        while goes_on(stopped, LOOK_EVERY) {
            if let Err(e) = self.look() {
                tracing::warn!(error = %full(&e), "the ledger's time stamps could not be looked at");
            }
        }
    }

    fn look(&mut self) -> Result<(), OpenLogError> {
        let book = Attestations::open(&self.state)?;
        let last = book.last_stamps()?;
        let now = clock::now();
        let authorities = self.setup.authorities.clone();
        for (authority, trouble) in authorities.iter().zip(&mut self.trouble) {
            let stamped = last.iter().find(|(name, _)| *name == authority.name);
            // A clock that was set back must not put it off.
            let fresh = stamped.is_some_and(|(_, at)| {
                *at <= now.plus(self.setup.stamp_every) && now.since(*at) < self.setup.stamp_every
            });
            if fresh || now < trouble.1 {
                continue;
            }
            if book.newest()?.0 == 0 {
                continue;
            }
            match stamp_by(&book, authority) {
                Ok(_) => *trouble = (0, Timestamp::EPOCH),
                Err(e) => {
                    let text = full(&e);
                    tracing::warn!(authority = %authority.name, error = %text, "no time stamp");
                    if trouble.0 == 0 {
                        self.outlet.notice(
                            "ledger_not_stamped",
                            format!("no time stamp by {}: {text}; trying on", authority.name),
                        );
                    }
                    let wait = RETRY_FIRST.saturating_mul(1 << trouble.0.min(8));
                    *trouble = (trouble.0 + 1, now.plus(wait.min(RETRY_LAST)));
                }
            }
        }
        Ok(())
    }
}

/// An authority's name, and what came of asking it.
pub type Stamped = (String, Result<Token, OpenLogError>);

/// Asks every authority of the configuration for a stamp of the published checkpoint.
pub fn stamp_now(state: &std::path::Path, setup: &Setup) -> Result<Vec<Stamped>, OpenLogError> {
    let book = Attestations::open(state)?;
    let all = setup.authorities.iter();
    Ok(all
        .map(|authority| (authority.name.clone(), stamp_by(&book, authority)))
        .collect())
}

fn stamp_by(book: &Attestations, authority: &Authority) -> Result<Token, OpenLogError> {
    let refused = |source| OpenLogError::Stamp {
        authority: authority.name.clone(),
        source,
    };
    let checkpoint = book.published()?;
    let imprint = Imprint::of(checkpoint.as_bytes());
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|_| OpenLogError::Random)?;
    let asked = stamp::request(imprint, random).map_err(refused)?;
    let agent = http::agent(&authority.url);
    // RFC 3161 section 3.4.
    let kind = "application/timestamp-query";
    let answer = http::post(&agent, &authority.url, kind, &asked, store::STAMP_BYTES_MAX)?;
    if answer.status != 200 {
        return Err(OpenLogError::Http {
            url: authority.url.clone(),
            why: format!("HTTP {}", answer.status),
        });
    }
    let roots = roots_of(authority.ca_pem.as_deref()).map_err(refused)?;
    let token = stamp::checked(&answer.body, imprint, Some(random), &roots).map_err(refused)?;
    book.stamp(&Stamp {
        checkpoint,
        authority: authority.name.clone(),
        at: token.at,
        tsr: answer.body,
        ca_pem: authority.ca_pem.clone(),
    })?;
    Ok(token)
}

/// Checks a stamp that was kept, against the root it was kept with.
pub fn verify_stamp(kept: &Stamp) -> Result<Token, StampError> {
    let token = verify_token(&kept.tsr, &kept.checkpoint, kept.ca_pem.as_deref())?;
    if token.at == kept.at {
        Ok(token)
    } else {
        Err(StampError::Malformed {
            part: "its row",
            why: format!("it says {}, the stamp {}", kept.at, token.at),
        })
    }
}

/// Checks an authority's answer about a checkpoint that somebody else kept.
pub fn verify_token(tsr: &[u8], checkpoint: &str, ca: Option<&str>) -> Result<Token, StampError> {
    stamp::checked(
        tsr,
        Imprint::of(checkpoint.as_bytes()),
        None,
        &roots_of(ca)?,
    )
}

fn roots_of(
    ca_pem: Option<&str>,
) -> Result<Vec<rustls::pki_types::TrustAnchor<'static>>, StampError> {
    ca_pem.map_or_else(|| Ok(Vec::new()), stamp::roots)
}
