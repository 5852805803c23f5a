//! A member's side of a hub's door for files of cases (`docs/handover.md`): one command, one
//! connection. It knows nothing of what is in a package, and signs nothing.

use std::{path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use casework::{
    handover::api::{ANSWER_BYTES_MAX, Done, OFFER_HEADER, Told},
    spread::{SpreadAnswer, SpreadQuestion},
};
use fleet::{CommunityId, api};
use model::HandoverAct;
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::{
    client::Connection,
    clock,
    error::UplinkError,
    membership::{Membership, TlsKey},
    tls,
};

const ANSWER_WAIT: Duration = Duration::from_secs(30);
const PACKAGE_WAIT: Duration = Duration::from_secs(1_800);

/// A connection to the hub that this machine is a member of.
pub struct Door {
    runtime: Runtime,
    connection: Connection,
    membership: Membership,
}

impl Door {
    /// Connects; renews the certificate first when half of its life is over and no guard does it.
    /// `None`: this machine is no member of a hub.
    pub fn open(state: &Path, version: &str) -> Result<Option<Self>, UplinkError> {
        let Some(membership) = Membership::load(state)? else {
            return Ok(None);
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(UplinkError::Thread)?;
        let connection = runtime.block_on(connect(&membership))?;
        let mut door = Self {
            runtime,
            connection,
            membership,
        };
        if door.membership.renew_in(clock::wall(), 0).is_zero() {
            door.renew(state, version)?;
        }
        Ok(Some(door))
    }

    pub const fn membership(&self) -> &Membership {
        &self.membership
    }

    fn renew(&mut self, state: &Path, version: &str) -> Result<(), UplinkError> {
        let key = TlsKey::generate()?;
        let request = api::RenewRequest {
            tls_key: key.public,
            version: version.to_owned(),
        };
        let post = self.connection.post_json("/fleet/v1/renew", &request);
        let answer: api::Membership = self.runtime.block_on(within(ANSWER_WAIT, post))?;
        let membership = Membership {
            communities: answer.communities,
            role: answer.role,
            certificate: answer.certificate,
            issued: clock::wall(),
            valid_seconds: answer.valid_seconds,
            renew_after_seconds: answer.renew_after_seconds,
            tls_key: key.pkcs8,
            ..self.membership.clone()
        };
        // The CA and the roster's key stay as they were pinned, whatever the answer says.
        tls::member(&membership)?;
        membership.save(state)?;
        self.connection = self.runtime.block_on(connect(&membership))?;
        self.membership = membership;
        Ok(())
    }

    /// Every hand-over that this member's organisation has a part in.
    pub fn list(&mut self) -> Result<Vec<Told>, UplinkError> {
        let bytes = self.get("/handover/v1/offers", ANSWER_BYTES_MAX, ANSWER_WAIT)?;
        self.read(&bytes)
    }

    pub fn show(&mut self, handover: &str) -> Result<Told, UplinkError> {
        let path = format!("/handover/v1/offers/{handover}");
        let bytes = self.get(&path, ANSWER_BYTES_MAX, ANSWER_WAIT)?;
        self.read(&bytes)
    }

    /// The package's bytes; more than `bytes` is an error.
    pub fn package(&mut self, handover: &str, bytes: u64) -> Result<Vec<u8>, UplinkError> {
        let path = format!("/handover/v1/offers/{handover}/package");
        let max = usize::try_from(bytes).unwrap_or(usize::MAX);
        self.get(&path, max, PACKAGE_WAIT)
    }

    /// Sends a signed offer and its package.
    pub fn offer(&mut self, act: &HandoverAct, package: Vec<u8>) -> Result<Done, UplinkError> {
        let header = STANDARD.encode(serde_json::to_vec(act).unwrap_or_default());
        let post = self.connection.post_with(
            "/handover/v1/offers",
            "application/zip",
            (OFFER_HEADER, &header),
            package.into(),
        );
        self.runtime.block_on(within(PACKAGE_WAIT, post))
    }

    /// One of `receipt`, `decline`, `requests`, `answers`, `outcomes`.
    pub fn tell(
        &mut self,
        handover: &str,
        what: &str,
        body: &impl Serialize,
    ) -> Result<Done, UplinkError> {
        let path = format!("/handover/v1/offers/{handover}/{what}");
        let post = self.connection.post_json(&path, body);
        self.runtime.block_on(within(ANSWER_WAIT, post))
    }

    /// When the bans on these networks were everywhere, by the hub's ledger.
    pub fn spread(
        &mut self,
        community: &CommunityId,
        question: &SpreadQuestion,
    ) -> Result<SpreadAnswer, UplinkError> {
        let path = format!("/fleet/v1/{community}/spread");
        let post = self.connection.post_json(&path, question);
        self.runtime.block_on(within(ANSWER_WAIT, post))
    }

    fn get(&mut self, path: &str, max: usize, wait: Duration) -> Result<Vec<u8>, UplinkError> {
        let connection = &mut self.connection;
        self.runtime.block_on(within(wait, async {
            let answer = connection.get(path).await?;
            connection.read_all(answer, max).await
        }))
    }

    fn read<T: serde::de::DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, UplinkError> {
        serde_json::from_slice(bytes).map_err(|e| self.connection.unusable(e.to_string()))
    }
}

/// The first hub that answers.
async fn connect(membership: &Membership) -> Result<Connection, UplinkError> {
    let config = tls::member(membership)?;
    let mut last = UplinkError::Key("the membership names no hub");
    for hub in &membership.hubs {
        match within(ANSWER_WAIT, Connection::open(hub, config.clone())).await {
            Ok(connection) => return Ok(connection),
            Err(e) => last = e,
        }
    }
    Err(last)
}

async fn within<T>(
    wait: Duration,
    work: impl Future<Output = Result<T, UplinkError>>,
) -> Result<T, UplinkError> {
    let silent = UplinkError::Silent {
        hub: "the hub".to_owned(),
        seconds: wait.as_secs(),
    };
    tokio::time::timeout(wait, work).await.map_err(|_| silent)?
}
