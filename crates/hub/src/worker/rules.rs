//! What a community takes: its rules, and how they are changed.

use fleet::CommunityId;
use model::{Prefix, Tlp};

use super::{Outcome, Worker};
use crate::{
    error::OrderError,
    limits,
    member::RulesChange,
    registry::{Community, Record},
};

impl Worker {
    /// Changes the rules, and says what they are now.
    pub(super) fn rule(&self, id: &CommunityId, change: RulesChange) -> Outcome<String> {
        let known = self.shared.view().registry.communities.get(id).cloned();
        let known = known.ok_or_else(|| {
            OrderError::Refused(format!(
                "there is no community {id}; `posse hub admit` makes one"
            ))
        })?;
        let mut community = Community::clone(&known);
        apply(&mut community, change)?;
        let text = told(&community);
        if community != *known {
            self.put(Record::Community(community))?;
        }
        Ok(text)
    }

    /// Why a label is too strict for a community, if it is.
    pub(super) fn too_strict(&self, id: &CommunityId, tlp: Tlp) -> Option<String> {
        let view = self.shared.view();
        let ceiling = view.registry.communities.get(id)?.tlp_ceiling;
        (tlp > ceiling)
            .then(|| format!("TLP:{tlp} is stricter than TLP:{ceiling}, the ceiling of {id}"))
    }
}

fn apply(community: &mut Community, change: RulesChange) -> Result<(), OrderError> {
    let refused = |why: String| Err(OrderError::Refused(why));
    if let Some(ceiling) = change.tlp_ceiling {
        community.tlp_ceiling = ceiling;
    }
    let rules = &mut community.rules;
    if let Some(widest) = change.widest_ipv4 {
        if !(8..=32).contains(&widest) {
            return refused(format!("/{widest}: the widest IPv4 network is /8 to /32"));
        }
        rules.widest_ipv4 = widest;
    }
    if let Some(widest) = change.widest_ipv6 {
        if !(16..=128).contains(&widest) {
            return refused(format!("/{widest}: the widest IPv6 network is /16 to /128"));
        }
        rules.widest_ipv6 = widest;
    }
    if let Some(budget) = change.bans_per_hour {
        rules.bans_per_hour = budget;
    }
    for prefix in change.not_never {
        if !rules.never.contains(&prefix) {
            return refused(format!("{prefix} is not among the networks never banned"));
        }
        rules.never.retain(|never| *never != prefix);
    }
    rules.never.extend(change.never);
    rules.never.sort_unstable();
    rules.never.dedup();
    if rules.never.len() > limits::NEVER_MAX {
        return refused(format!(
            "more than {} networks never banned",
            limits::NEVER_MAX
        ));
    }
    Ok(())
}

fn told(community: &Community) -> String {
    let rules = &community.rules;
    let never: Vec<String> = rules.never.iter().map(Prefix::to_string).collect();
    let never = match never.is_empty() {
        true => "none of its own".to_owned(),
        false => never.join(", "),
    };
    format!(
        "{}: up to TLP:{}; networks no wider than /{} and /{}; {} bans an hour from one \
         organisation; never banned: {never}",
        community.id,
        community.tlp_ceiling,
        rules.widest_ipv4,
        rules.widest_ipv6,
        rules.bans_per_hour
    )
}
