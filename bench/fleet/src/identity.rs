//! The guards' certificates: joined once, kept in the hub's folder.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context as _, Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use fleet::{
    PublicKey, SigningKey,
    api::{JoinRequest, Membership},
};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::{
    GuardsArgs,
    link::{Link, stranger},
};

/// Connections on which guards join side by side.
const LINKS: usize = 16;

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) tls_key: Vec<u8>,
}

/// All guards, and what they have in common.
#[derive(Serialize, Deserialize)]
pub(crate) struct Identities {
    pub(crate) authority: String,
    pub(crate) roster_key: PublicKey,
    pub(crate) hub: fleet::OrgId,
    pub(crate) community: fleet::CommunityId,
    pub(crate) guards: Vec<Identity>,
}

pub(crate) async fn load(args: &GuardsArgs) -> Result<Identities> {
    let path = args.state.join("identities.json");
    if path.exists() {
        let known: Identities = serde_json::from_slice(&fs::read(&path)?)?;
        if known.guards.len() >= args.guards {
            return Ok(known);
        }
    }
    let joined = join(args).await?;
    fs::write(&path, serde_json::to_vec(&joined)?)?;
    Ok(joined)
}

async fn join(args: &GuardsArgs) -> Result<Identities> {
    let tokens = lines(&args.state.join("tokens"))?;
    let tokens: Vec<_> = tokens.into_iter().take(args.guards).enumerate().collect();
    let config = stranger()?;
    let mut tasks = JoinSet::new();
    for share in tokens.chunks(tokens.len().div_ceil(LINKS).max(1)) {
        let (share, config, hub) = (share.to_vec(), Arc::clone(&config), args.hub);
        tasks.spawn(async move {
            let mut link = Link::open(hub, config).await?;
            let mut joined = Vec::new();
            for (number, token) in share {
                joined.push(join_one(&mut link, number, token).await?);
            }
            anyhow::Ok(joined)
        });
    }
    let (mut guards, mut common) = (Vec::new(), None);
    while let Some(done) = tasks.join_next().await {
        for (identity, membership) in done?? {
            guards.push(identity);
            common = Some(membership);
        }
    }
    let common = common.context("no tokens")?;
    Ok(Identities {
        authority: common.ca,
        roster_key: common.roster_key,
        hub: common.hub_organisation,
        community: common.communities.first().context("no community")?.clone(),
        guards,
    })
}

async fn join_one(link: &mut Link, number: usize, token: String) -> Result<(Identity, Membership)> {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let broken = |_| anyhow::anyhow!("no key");
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(broken)?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random);
    let pair = pair.map_err(|_| anyhow::anyhow!("no key"))?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let request = JoinRequest {
        token,
        name: format!("guard-{number}"),
        tls_key: URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
        statement_key: SigningKey::from_seed(&seed)?.public(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let body = serde_json::to_vec(&request)?;
    let answer = link.post("/fleet/v1/join", body).await?;
    let membership: Membership = serde_json::from_slice(&answer)?;
    let identity = Identity {
        certificate: membership.certificate.clone(),
        tls_key: pkcs8.as_ref().to_vec(),
    };
    Ok((identity, membership))
}

pub(crate) fn lines(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}
