//! Organisations, communities, invitations, joining, renewal, revocation.

use std::{collections::BTreeSet, sync::Arc};

use fleet::{CommunityId, OrgId, Role, SigningKey, Standing};
use model::{FleetAct, Tlp};
use sha2::{Digest as _, Sha256};

use super::{Outcome, Turn, Worker};
use crate::{
    caller::Caller,
    core::unix_ms,
    error::{HubError, OrderError},
    gate, limits,
    member::{self, Invite, Join, Joined, MEMBER_NAME_BYTES_MAX, Renew, Wish},
    registry::{
        Certificate, Community, CommunityRules, Fingerprint, Flag, Hash, Invitation, Member,
        Organisation, Record,
    },
    secret,
    tls::ca::CLIENT_LIFE,
};

impl Worker {
    //-------- Organisations and communities ---------------------------------

    /// Makes the organisation if it is new, with the key by which the hub signs for it.
    pub(super) fn new_organisation(&mut self, id: &OrgId) -> Result<(), HubError> {
        if self.shared.view().registry.organisations.contains_key(id) {
            return Ok(());
        }
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let key = SigningKey::from_seed(&seed)?;
        self.put(Record::Organisation(Organisation {
            id: id.clone(),
            seed: Hash(seed),
        }))?;
        self.desks.insert(id.clone(), Arc::new(key));
        Ok(())
    }

    /// Makes the organisation a member, and puts the key the hub holds for it on the roster.
    pub(super) fn admit(&mut self, org: &OrgId, id: &CommunityId) -> Outcome<()> {
        let known = self.shared.view().registry.communities.get(id).cloned();
        let fresh = known.is_none();
        let mut community = match known {
            Some(known) if known.members.contains(org) => return Ok(()),
            Some(known) => Community::clone(&known),
            None => {
                let max = limits::COMMUNITIES_MAX;
                if self.circles.len() >= max {
                    return Err(OrderError::TooMany {
                        max,
                        what: "communities",
                    }
                    .into());
                }
                new_community(id.clone(), BTreeSet::from([self.hub_organisation.clone()]))
            }
        };
        community.members.insert(org.clone());
        self.put(Record::Community(community))?;
        if fresh {
            self.load_new_circle(id)?;
        }
        self.seat(id)?;
        Ok(())
    }

    /// Puts the keys that the hub holds for a community's members on its roster.
    pub(super) fn seat(&mut self, id: &CommunityId) -> Result<(), HubError> {
        let members: Vec<OrgId> = match self.shared.view().registry.communities.get(id) {
            Some(community) => community.members.iter().cloned().collect(),
            None => return Ok(()),
        };
        let Some(circle) = self.circles.get_mut(id) else {
            return Ok(());
        };
        for org in members {
            if let Some(key) = self.desks.get(&org) {
                circle.enroll(&org, key.public(), Role::Partner, Standing::Active)?;
            }
        }
        Ok(())
    }

    pub(super) fn wish(&mut self, by: &Caller, wish: Wish, turn: &mut Turn) -> Outcome<String> {
        gate::may(by, gate::Act::Govern)?;
        let what = match wish {
            Wish::Admit {
                organisation,
                community,
            } => {
                self.new_organisation(&organisation)?;
                self.admit(&organisation, &community)?;
                format!("{organisation} is a member of {community}")
            }
            Wish::Expel {
                organisation,
                community,
            } => {
                let known = self
                    .shared
                    .view()
                    .registry
                    .communities
                    .get(&community)
                    .cloned();
                let mut changed = Community::clone(&*known.ok_or(OrderError::Unknown)?);
                if organisation == self.hub_organisation || !changed.members.remove(&organisation) {
                    return Err(OrderError::Unknown.into());
                }
                self.put(Record::Community(changed))?;
                self.unseat(&organisation, &community)?;
                self.shared.wake_streams();
                format!("{organisation} is no longer a member of {community}")
            }
            Wish::Vouch {
                organisation,
                community,
                reports,
            } => {
                let org = trust::Org::new(organisation.as_str())
                    .map_err(|e| OrderError::Refused(e.to_string()))?;
                let circle = self
                    .circles
                    .get_mut(&community)
                    .ok_or(OrderError::Unknown)?;
                let vouched = circle.court.vouch(&org, f64::from(reports), turn.now.0);
                vouched.map_err(|e| OrderError::Refused(e.to_string()))?;
                self.db.set_court(&community, &circle.court)?;
                format!("{organisation} is vouched for in {community}: {reports} reports")
            }
            Wish::Rule { community, change } => self.rule(&community, change)?,
        };
        let by = by.name.to_string();
        turn.act(FleetAct::Changed {
            at: turn.at,
            by,
            what: what.clone(),
        });
        Ok(what)
    }

    /// Takes an organisation's keys off a community's roster.
    fn unseat(&mut self, org: &OrgId, id: &CommunityId) -> Result<(), HubError> {
        let Some(circle) = self.circles.get_mut(id) else {
            return Ok(());
        };
        let keys: Vec<_> = circle
            .set
            .roster()
            .entries()
            .filter(|e| e.org == *org && e.standing == Standing::Active)
            .map(|e| (e.key, e.role))
            .collect();
        for (key, role) in keys {
            circle.enroll(org, key, role, Standing::Revoked)?;
        }
        Ok(())
    }

    //-------- Invitations ---------------------------------------------------

    pub(super) fn invite(
        &mut self,
        by: &Caller,
        invite: Invite,
        turn: &mut Turn,
    ) -> Outcome<String> {
        gate::may(by, gate::Act::Govern)?;
        let authority = self.authority.clone();
        let authority = authority.ok_or_else(|| OrderError::Refused("no authority".to_owned()))?;
        self.drop_old_invitations(turn)?;
        let max = limits::INVITATIONS_MAX;
        if self.shared.view().registry.invitations.len() >= max {
            return Err(OrderError::TooMany {
                max,
                what: "open invitations",
            }
            .into());
        }
        let communities = match (invite.role.follows(), invite.communities.is_empty()) {
            (true, true) => vec![main_community()?],
            (true, false) => invite.communities,
            (false, true) => Vec::new(),
            (false, false) => {
                let why = format!(
                    "the role {} is in no community: it sees no bans; leave --community out",
                    invite.role
                );
                return Err(OrderError::Refused(why).into());
            }
        };
        self.new_organisation(&invite.organisation)?;
        for community in &communities {
            self.admit(&invite.organisation, community)?;
        }
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        let token = member::token(&authority.fingerprint().0, &secret);
        self.put(Record::Invitation(Invitation {
            secret: Hash(Sha256::digest(secret).into()),
            organisation: invite.organisation.clone(),
            role: invite.role,
            communities: communities.clone(),
            until: turn
                .now
                .plus(std::time::Duration::from_secs(invite.seconds)),
            used_by: None,
        }))?;
        turn.act(FleetAct::Invited {
            at: turn.at,
            by: by.name.to_string(),
            organisation: invite.organisation.to_string(),
            role: invite.role.to_string(),
            communities: communities.iter().map(ToString::to_string).collect(),
            seconds: invite.seconds,
        });
        Ok(token)
    }

    fn drop_old_invitations(&self, turn: &Turn) -> Result<(), HubError> {
        let over: Vec<_> = {
            let view = self.shared.view();
            let all = view.registry.invitations.values();
            all.filter(|i| i.until <= turn.now)
                .map(|i| Invitation::clone(i))
                .collect()
        };
        over.into_iter()
            .try_for_each(|i| self.remove(&Record::Invitation(i)))
    }

    //-------- Joining and renewal -------------------------------------------

    pub(super) fn join(&mut self, join: &Join, turn: &mut Turn) -> Outcome<Joined> {
        let outcome = self.take_token(join, turn);
        if let Err(super::Fail::Order(e)) = &outcome {
            turn.act(FleetAct::LoginRefused {
                at: turn.at,
                name: join.name.chars().take(64).collect(),
                from: join.from.to_string(),
                reason: format!("join: {e}"),
                times: 1,
            });
        }
        outcome
    }

    fn take_token(&mut self, join: &Join, turn: &mut Turn) -> Outcome<Joined> {
        let asked = Hash(Sha256::digest(&join.secret).into());
        let found = {
            let view = self.shared.view();
            view.registry.invitations.get(&asked).cloned()
        };
        let found = found.filter(|i| secret::same(&i.secret.0, &asked.0));
        let invitation = found.ok_or(OrderError::Token("wrong"))?;
        if invitation.until <= turn.now {
            return Err(OrderError::Token("expired").into());
        }
        let mut keys = Sha256::new();
        keys.update(&join.tls_point);
        keys.update(join.statement_key.0);
        keys.update(&join.name);
        let keys = Hash(keys.finalize().into());
        match &invitation.used_by {
            Some(used) if !secret::same(&used.0, &keys.0) => {
                return Err(OrderError::Token("used").into());
            }
            _ => {}
        }
        let member = self.new_member(&invitation, join)?;
        let (certificate, fingerprint) = self.certify(&member, &join.tls_point)?;
        for id in &member.communities {
            let circle = self.circles.get_mut(id).ok_or(OrderError::Unknown)?;
            let org = &member.organisation;
            let role = member.role;
            circle.enroll(org, member.statement_key, role, Standing::Active)?;
        }
        self.put(Record::Invitation(Invitation {
            used_by: Some(keys),
            ..Invitation::clone(&invitation)
        }))?;
        turn.act(FleetAct::Joined {
            at: turn.at,
            organisation: member.organisation.to_string(),
            name: member.name.clone(),
            role: member.role.to_string(),
            communities: member.communities.iter().map(ToString::to_string).collect(),
            certificate: fingerprint.to_string(),
            key: member.statement_key.id().to_string(),
        });
        let communities = member.communities.clone();
        Ok(Joined {
            member: Arc::new(member),
            certificate,
            communities,
        })
    }

    fn new_member(&self, invitation: &Invitation, join: &Join) -> Outcome<Member> {
        let fits = (1..=MEMBER_NAME_BYTES_MAX).contains(&join.name.len())
            && join.name.bytes().all(|b| b.is_ascii_graphic());
        if !fits {
            let why = "a member's name is 1 to 64 printable ASCII characters without space";
            return Err(OrderError::Refused(why.to_owned()).into());
        }
        let member = Member {
            organisation: invitation.organisation.clone(),
            name: join.name.clone(),
            role: invitation.role,
            communities: invitation.communities.clone(),
            statement_key: join.statement_key,
            joined_unix_ms: unix_ms(),
            revoked: false,
        };
        {
            let view = self.shared.view();
            let place = (member.organisation.clone(), member.name.clone());
            if let Some(known) = view.registry.members.get(&place)
                && known.statement_key != member.statement_key
                && !known.revoked
            {
                let why = format!("{} has a member named {} already", place.0, place.1);
                return Err(OrderError::NameTaken(why).into());
            }
            let max = limits::MEMBERS_MAX;
            if view.registry.members.len() >= max {
                return Err(OrderError::TooMany {
                    max,
                    what: "members",
                }
                .into());
            }
        }
        for id in &member.communities {
            let circle = self.circles.get(id).ok_or(OrderError::Unknown)?;
            let known = circle.set.roster().get(member.statement_key.id());
            if known
                .is_some_and(|e| e.org != member.organisation || e.standing == Standing::Revoked)
            {
                return Err(OrderError::KeyTaken.into());
            }
        }
        self.put(Record::Member(member.clone()))?;
        Ok(member)
    }

    fn certify(&self, member: &Member, point: &[u8]) -> Outcome<(String, Fingerprint)> {
        let authority = self.authority.as_ref();
        let authority = authority.ok_or_else(|| OrderError::Refused("no authority".to_owned()))?;
        let text = format!("{}/{}", member.organisation, member.name);
        let (pem, fingerprint) = match authority.client(&text, point) {
            Ok(made) => made,
            Err(e @ HubError::TlsKey) => return Err(OrderError::Refused(e.to_string()).into()),
            Err(e) => return Err(e.into()),
        };
        let life = u64::try_from(CLIENT_LIFE.as_millis()).unwrap_or(u64::MAX);
        self.drop_old_certificates(member)?;
        self.put(Record::Certificate(Certificate {
            fingerprint,
            organisation: member.organisation.clone(),
            name: member.name.clone(),
            not_after_unix_ms: unix_ms().saturating_add(life),
            revoked: Arc::new(Flag::default()),
        }))?;
        Ok((pem, fingerprint))
    }

    fn drop_old_certificates(&self, member: &Member) -> Result<(), HubError> {
        let now = unix_ms();
        let all = self
            .shared
            .view()
            .registry
            .certificates_of(&member.organisation, &member.name);
        let over = all.into_iter().filter(|c| c.not_after_unix_ms <= now);
        let over: Vec<_> = over.map(|c| Certificate::clone(&c)).collect();
        over.into_iter()
            .try_for_each(|c| self.remove(&Record::Certificate(c)))
    }

    pub(super) fn renew(&self, renew: &Renew, turn: &mut Turn) -> Outcome<Joined> {
        let member = {
            let view = self.shared.view();
            let certificate = view.registry.certificates.get(&renew.fingerprint);
            let certificate = certificate.filter(|c| !c.revoked.is_set());
            let certificate = certificate.ok_or(OrderError::Revoked)?;
            let place = (certificate.organisation.clone(), certificate.name.clone());
            view.registry
                .members
                .get(&place)
                .filter(|m| !m.revoked)
                .cloned()
        };
        let member = member.ok_or(OrderError::Revoked)?;
        let (certificate, fingerprint) = self.certify(&member, &renew.tls_point)?;
        turn.act(FleetAct::Renewed {
            at: turn.at,
            organisation: member.organisation.to_string(),
            name: member.name.clone(),
            certificate: fingerprint.to_string(),
        });
        let view = self.shared.view();
        let caller = view.registry.caller_of_member(&member, fingerprint);
        // Who joined when such roles still were in communities learns of none.
        let communities = match member.role.follows() {
            true => caller.communities.to_vec(),
            false => Vec::new(),
        };
        Ok(Joined {
            member: Arc::clone(&member),
            certificate,
            communities,
        })
    }

    /// One member, or all of an organisation: certificates and keys no longer count, and open
    /// streams end now.
    pub(super) fn revoke(
        &mut self,
        by: &Caller,
        organisation: &OrgId,
        name: Option<&str>,
        turn: &mut Turn,
    ) -> Outcome<u64> {
        gate::may(by, gate::Act::Govern)?;
        let members: Vec<Arc<Member>> = {
            let view = self.shared.view();
            let all = view.registry.members.values();
            all.filter(|m| m.organisation == *organisation)
                .filter(|m| name.is_none_or(|name| m.name == name))
                .cloned()
                .collect()
        };
        if members.is_empty() {
            return Err(OrderError::Unknown.into());
        }
        for member in &members {
            self.put(Record::Member(Member {
                revoked: true,
                ..Member::clone(member)
            }))?;
            let certificates = {
                let view = self.shared.view();
                view.registry.certificates_of(organisation, &member.name)
            };
            for certificate in certificates {
                certificate.revoked.set();
                self.put(Record::Certificate(Certificate::clone(&certificate)))?;
            }
            for id in &member.communities {
                if let Some(circle) = self.circles.get_mut(id) {
                    let key = member.statement_key;
                    circle.enroll(organisation, key, member.role, Standing::Revoked)?;
                }
            }
            turn.act(FleetAct::Revoked {
                at: turn.at,
                by: by.name.to_string(),
                organisation: organisation.to_string(),
                name: member.name.clone(),
                reason: "an operator's order".to_owned(),
            });
        }
        self.shared.wake_streams();
        Ok(members.len() as u64)
    }
}

pub(super) fn new_community(id: CommunityId, members: BTreeSet<OrgId>) -> Community {
    Community {
        id,
        members,
        tlp_ceiling: Tlp::Amber,
        rules: CommunityRules::default(),
    }
}

pub(super) fn main_community() -> Result<CommunityId, HubError> {
    "main"
        .parse()
        .map_err(|_| HubError::Corrupt("main".to_owned()))
}
