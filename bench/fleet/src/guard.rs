//! One guard of the crowd: connects, follows, comes back.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, BytesMut};
use fleet::{
    Backoff, BackoffConfig, CommunityId, Effect, Follower, Frame, Generation, Moment, Offer,
    SnapshotHash,
};
use http_body_util::BodyExt as _;
use rustls::ClientConfig;

use crate::{
    check::{Checks, Kind},
    link::Link,
    tally::Tally,
};

/// Room that a guard keeps between two frames.
const BUFFER_BYTES: usize = 16 << 10;

/// What all guards share.
pub(crate) struct Shared {
    pub(crate) hub: SocketAddr,
    pub(crate) community: CommunityId,
    pub(crate) checks: Checks,
    pub(crate) tally: Tally,
    pub(crate) began: Instant,
}

/// What a guard keeps of the set.
pub(crate) enum Mind {
    /// Its place only.
    Place {
        generation: Generation,
    },
    Whole(Box<Follower>),
}

pub(crate) struct Guard {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) mind: Mind,
    pub(crate) seed: u64,
    pub(crate) first_wait: Duration,
}

/// Takes back what a stream counted, however it ends.
struct Counted<'a> {
    tally: &'a Tally,
    settled: bool,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.tally.open.fetch_sub(1, Relaxed);
        if self.settled {
            self.tally.settled.fetch_sub(1, Relaxed);
        }
        self.tally.ended.fetch_add(1, Relaxed);
    }
}

impl Guard {
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new(BackoffConfig::default(), self.seed);
        tokio::time::sleep(self.first_wait).await;
        loop {
            let began = Instant::now();
            if let Err(e) = self.follow().await {
                self.shared.tally.fault(&e.to_string());
            }
            tokio::time::sleep(backoff.wait(began.elapsed(), None)).await;
        }
    }

    async fn follow(&mut self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let (generation, roster) = match &self.mind {
            // The crowd keeps one roster between them.
            Mind::Place { generation } => (*generation, shared.checks.roster_serial()),
            Mind::Whole(follower) => {
                let position = follower.position();
                (position.generation, position.roster)
            }
        };
        let mut link = Link::open(shared.hub, Arc::clone(&self.tls)).await?;
        shared.tally.connected();
        let community = &shared.community;
        let path = format!("/fleet/v1/{community}/stream?from={generation}&roster={roster}");
        let mut body = link.get(&path).await?.into_body();
        shared.tally.open.fetch_add(1, Relaxed);
        let mut counted = Counted {
            tally: &shared.tally,
            settled: false,
        };
        if let Mind::Whole(follower) = &mut self.mind {
            follower.connected();
        }
        let mut buffer = BytesMut::new();
        while let Some(part) = body.frame().await {
            let part = part.context("the stream broke")?;
            let Some(data) = part.data_ref() else {
                continue;
            };
            shared.tally.bytes.fetch_add(data.len() as u64, Relaxed);
            buffer.extend_from_slice(data);
            while let Some((frame, taken)) = Frame::split(&buffer)? {
                shared.tally.frames.fetch_add(1, Relaxed);
                let settled = self.take(frame, &mut link).await?;
                buffer.advance(taken);
                if settled && !counted.settled {
                    counted.settled = true;
                    shared.tally.settled.fetch_add(1, Relaxed);
                }
            }
            if buffer.is_empty() && buffer.capacity() > BUFFER_BYTES {
                buffer = BytesMut::new();
            }
        }
        bail!("the stream ended");
    }

    /// Says whether the frame told that this guard has what the hub has.
    async fn take(&mut self, frame: &[u8], link: &mut Link) -> Result<bool> {
        let shared = Arc::clone(&self.shared);
        let known = shared.checks.look(frame)?;
        if matches!(known.kind, Kind::Hello) {
            shared.tally.newest.fetch_max(known.to.0, Relaxed);
        }
        let here = Moment(shared.began.elapsed());
        let generation = match &mut self.mind {
            Mind::Place { generation } => generation,
            Mind::Whole(follower) => {
                let mut fetch = None;
                let taken = follower.take_frame(frame, here, &mut |effect| match effect {
                    Effect::Fetch(offer) => fetch = Some(offer),
                    Effect::Alarm(alarm) => shared.tally.fault(&format!("{alarm:?}")),
                    _ => {}
                });
                let before = taken?.map(|applied| applied.from);
                if let Some(offer) = fetch {
                    let bytes = snapshot(link, &shared, &offer).await?;
                    follower.take_snapshot(&bytes, here, &mut |_| {})?;
                }
                if let (Some(from), Kind::Change { accepted_ms }) = (before, known.kind) {
                    shared
                        .tally
                        .arrived(from, follower.generation(), accepted_ms);
                }
                let is_proof = matches!(known.kind, Kind::Digest)
                    && known.to == follower.generation()
                    && follower.position().generation == known.to;
                if is_proof {
                    shared.tally.proven.fetch_max(known.to.0, Relaxed);
                }
                return Ok(is_proof);
            }
        };
        match known.kind {
            Kind::Hello => {}
            Kind::Change { accepted_ms } if known.to > *generation => {
                ensure!(known.from == *generation, "a gap in the generations");
                shared.tally.arrived(*generation, known.to, accepted_ms);
                *generation = known.to;
            }
            Kind::Change { .. } => {}
            Kind::Digest => {
                ensure!(known.to <= *generation, "a digest beyond the generation");
                return Ok(known.to == *generation);
            }
            Kind::Offer(offer) => {
                snapshot(link, &shared, &offer).await?;
                *generation = offer.generation.max(*generation);
            }
        }
        Ok(false)
    }
}

async fn snapshot(link: &mut Link, shared: &Shared, offer: &Offer) -> Result<Vec<u8>> {
    let path = format!("/fleet/v1/{}/snapshot/{}", shared.community, offer.hash);
    let bytes = link
        .get(&path)
        .await?
        .into_body()
        .collect()
        .await?
        .to_bytes();
    ensure!(SnapshotHash::of(&bytes) == offer.hash, "another snapshot");
    shared.tally.snapshots.fetch_add(1, Relaxed);
    Ok(bytes.to_vec())
}
