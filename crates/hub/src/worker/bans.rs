//! Bans and releases, whoever orders them: members' signed statements, the court, and what
//! third parties' reports (`reports.rs`) share with them.

use std::{net::IpAddr, sync::Arc, time::Duration};

use fleet::{
    Ban as SignedBan, CommunityId, FleetError, HubTime, Op, OrgId, SignedStatement, Statement,
};
use model::{FleetAct, Prefix, Tlp};
use sha2::{Digest as _, Sha256};
use trust::{Class, Evidence, Verdict};

use super::{
    Fail, Outcome, Turn, Worker,
    circle::{Circle, statement_hash},
};
use crate::{
    ban::{Ban, BanId, EndCause, Point},
    caller::{Caller, Role},
    error::OrderError,
    gate, limits,
    member::{RefusedBan, StatementTaken},
    order::{Release, Released},
    registry::CommunityRules,
    view::View,
};

/// The Local API's word for what a kernel does.
pub(super) const BAN: &str = "ban";

/// From where and why bans come, for the doors.
pub(super) struct Origin<'a> {
    pub(super) kind: &'a str,
    pub(super) origin: &'a str,
    pub(super) scenario: &'a str,
    pub(super) alert: Option<u64>,
}

impl Worker {
    /// What no list may hold, the hub's addresses, widths: refused whoever asks.
    pub(super) fn lawful(
        &self,
        community: &CommunityId,
        by: &Caller,
        prefix: Prefix,
    ) -> Result<(), String> {
        let view = self.shared.view();
        let found = view.registry.communities.get(community);
        let rules = found.map_or_else(CommunityRules::default, |c| c.rules.clone());
        drop(view);
        if by.role != Role::Operator {
            let widest = if prefix.is_ipv4() {
                rules.widest_ipv4
            } else {
                rules.widest_ipv6
            };
            if prefix.len() < widest {
                return Err(format!(
                    "wider than /{widest}, the widest that {community} takes"
                ));
            }
        } else if prefix.len() < 8 {
            return Err("wider than /8; nobody bans that".to_owned());
        }
        if let Some(never) = rules.never.iter().find(|never| never.overlaps(prefix)) {
            return Err(format!("{never} is never banned in {community}"));
        }
        if let Some(own) = self
            .shared
            .own_addresses()
            .iter()
            .find(|own| prefix.contains(**own))
        {
            return Err(format!("{own} is this hub's own address"));
        }
        if let Some(why) = gate::never(prefix) {
            return Err(why.to_owned());
        }
        let listing = self.classes.of(prefix);
        if listing.class == Class::Never {
            return Err(format!("it holds addresses of {}", listing.list));
        }
        Ok(())
    }

    pub(super) fn affordable(
        &mut self,
        community: &CommunityId,
        by: &Caller,
        bans: usize,
        now: HubTime,
    ) -> Result<(), String> {
        if by.organisation == self.hub_organisation || by.role == Role::Operator {
            return Ok(());
        }
        let view = self.shared.view();
        let found = view.registry.communities.get(community);
        let per_hour = found.map_or(0, |c| c.rules.bans_per_hour);
        drop(view);
        let circle = self.circles.get_mut(community);
        if circle.is_some_and(|c| c.within_budget(&by.organisation, bans, per_hour, now)) {
            return Ok(());
        }
        Err(format!(
            "more than {per_hour} bans in an hour from {}",
            by.organisation
        ))
    }

    //-------- Members' statements -------------------------------------------

    pub(super) fn statement(
        &mut self,
        by: &Caller,
        community: &CommunityId,
        signed: SignedStatement,
        from: IpAddr,
        turn: &mut Turn,
    ) -> Outcome<StatementTaken> {
        gate::may(by, gate::Act::State)?;
        let hash = statement_hash(&signed);
        if let Some(index) = self.shared.taken_before(&hash) {
            return Ok(StatementTaken {
                index: Some(index),
                repeated: true,
                ..StatementTaken::default()
            });
        }
        match self.judge_statement(by, community, signed, from, turn) {
            Err(Fail::Order(e)) => {
                let prefixes = match &e {
                    OrderError::OpsRefused(ops) => ops.iter().map(|o| o.prefix).take(64).collect(),
                    _ => Vec::new(),
                };
                let reason = match &e {
                    OrderError::OpsRefused(ops) => {
                        ops.first().map_or_else(String::new, |op| op.reason.clone())
                    }
                    other => other.to_string(),
                };
                self.refused(turn, by, "statement", &reason, prefixes);
                Err(Fail::Order(e))
            }
            other => other,
        }
    }

    fn judge_statement(
        &mut self,
        by: &Caller,
        community: &CommunityId,
        signed: SignedStatement,
        from: IpAddr,
        turn: &mut Turn,
    ) -> Outcome<StatementTaken> {
        let circle = self.circles.get(community).ok_or(OrderError::Unknown)?;
        let statement = circle
            .set
            .check(&signed, turn.now)
            .map_err(|e| refusal(e, circle))?;
        let owner = circle
            .set
            .roster()
            .active(statement.key)
            .map_err(|e| refusal(e, circle))?;
        if owner.org != by.organisation {
            let why = format!("key {} is not a key of {}", statement.key, by.organisation);
            return Err(OrderError::Refused(why).into());
        }
        let refused: Vec<_> = statement
            .ops
            .iter()
            .enumerate()
            .filter_map(|(place, op)| match op {
                Op::Ban(ban) => self.refuses(community, by, ban, place),
                Op::Release(_) => None,
            })
            .collect();
        if !refused.is_empty() {
            return Err(OrderError::OpsRefused(refused).into());
        }
        let bans = statement
            .ops
            .iter()
            .filter(|op| matches!(op, Op::Ban(_)))
            .count();
        self.affordable(community, by, bans, turn.now)
            .map_err(OrderError::Budget)?;
        let circle = self.circles.get_mut(community);
        let circle = circle.ok_or(OrderError::Unknown)?;
        if let Err(e) = circle.set.accept(signed.clone(), turn.now) {
            return Err(refusal(e, circle).into());
        }
        self.note_statement(&by.organisation, community, &statement, &signed, turn);
        let origin = Origin {
            kind: BAN,
            origin: "posse",
            scenario: "",
            alert: None,
        };
        self.show(community, &by.organisation, &statement, &origin, turn)?;
        let refused = self.hear(community, by, &statement, Some(from), turn)?;
        Ok(StatementTaken {
            refused,
            ..StatementTaken::default()
        })
    }

    fn refuses(
        &self,
        community: &CommunityId,
        by: &Caller,
        ban: &SignedBan,
        op: usize,
    ) -> Option<RefusedBan> {
        let reason = match self.lawful(community, by, ban.prefix) {
            Err(why) => why,
            Ok(()) => self.too_strict(community, ban.tlp)?,
        };
        Some(RefusedBan {
            op,
            prefix: ban.prefix,
            reason,
        })
    }

    pub(super) fn note_statement(
        &self,
        org: &OrgId,
        community: &CommunityId,
        statement: &Statement,
        signed: &SignedStatement,
        turn: &mut Turn,
    ) {
        let (mut bans, mut releases, mut reason) = (Vec::new(), Vec::new(), None);
        for op in &statement.ops {
            match op {
                Op::Ban(ban) => {
                    bans.push(ban.prefix);
                    let why = [&ban.reason, &ban.kind];
                    reason = reason.or_else(|| why.into_iter().find(|why| !why.is_empty()));
                }
                Op::Release(release) => {
                    releases.push(release.prefix);
                    reason = reason.or(Some(&release.reason));
                }
            }
        }
        let generation = self
            .circles
            .get(community)
            .map_or(0, |c| c.set.generation().0 + 1);
        turn.act(FleetAct::StatementAccepted {
            at: turn.at,
            community: community.to_string(),
            organisation: org.to_string(),
            key: statement.key.to_string(),
            sequence: statement.sequence,
            generation,
            bans,
            releases,
            reason: reason.map_or_else(String::new, ToString::to_string),
            statement: statement_hash(signed),
        });
    }

    /// What a statement that was taken changes in the doors' view.
    fn show(
        &mut self,
        community: &CommunityId,
        org: &OrgId,
        statement: &Statement,
        origin: &Origin<'_>,
        turn: &Turn,
    ) -> Result<(), Fail> {
        for op in &statement.ops {
            match op {
                Op::Ban(ban) => {
                    // The set rounds ends up to the minute; doors tell what was asked for.
                    let until = turn.now.plus(Duration::from_secs(u64::from(ban.lasts)));
                    let own = Origin {
                        scenario: if origin.scenario.is_empty() {
                            &ban.kind
                        } else {
                            origin.scenario
                        },
                        ..*origin
                    };
                    self.add(community, org, ban.prefix, until, &own, turn)?;
                }
                Op::Release(release) => {
                    let whose = release.of.as_ref().unwrap_or(org);
                    let gone: Vec<Arc<Ban>> = {
                        let view = self.shared.view();
                        let on = view.on(release.prefix);
                        on.filter(|b| b.organisation == *whose && b.community == *community)
                            .filter(|b| &*b.kind == BAN)
                            .cloned()
                            .collect()
                    };
                    for ban in gone {
                        self.end(&ban, EndCause::Released, turn.now)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A ban in the doors' view, in the place of the organisation's former one.
    pub(super) fn add(
        &mut self,
        community: &CommunityId,
        org: &OrgId,
        prefix: Prefix,
        until: HubTime,
        origin: &Origin<'_>,
        turn: &Turn,
    ) -> Result<BanId, Fail> {
        let former: Vec<Arc<Ban>> = {
            let view = self.shared.view();
            if view.bans.len() >= limits::BANS_MAX {
                let max = limits::BANS_MAX;
                return Err(OrderError::TooMany {
                    max,
                    what: "bans in force",
                }
                .into());
            }
            let same = |b: &&Arc<Ban>| {
                b.organisation == *org && b.community == *community && *b.kind == *origin.kind
            };
            view.on(prefix).filter(same).cloned().collect()
        };
        for ban in former {
            self.end(&ban, EndCause::Replaced, turn.now)?;
        }
        let mut view = self.shared.view_mut();
        let ban = Arc::new(Ban {
            id: self.next_ban,
            community: community.clone(),
            organisation: org.clone(),
            prefix,
            kind: cut(origin.kind).into(),
            origin: cut(origin.origin).into(),
            scenario: cut(origin.scenario).into(),
            alert: origin.alert,
            added: turn.now,
            until,
            point: Point(view.point.0 + 1),
        });
        self.next_ban += 1;
        self.db.add_ban(&ban)?;
        let id = ban.id;
        view.add(ban);
        Ok(id)
    }

    //-------- The court -----------------------------------------------------

    /// What a member's bans count for the community; the hub's own need no court. Gives the
    /// prefixes that do not count, with the reason.
    pub(super) fn hear(
        &mut self,
        community: &CommunityId,
        by: &Caller,
        statement: &Statement,
        from: Option<IpAddr>,
        turn: &mut Turn,
    ) -> Result<Vec<RefusedBan>, Fail> {
        let mut refused = Vec::new();
        if by.organisation == self.hub_organisation {
            return Ok(refused);
        }
        let Ok(org) = trust::Org::new(by.organisation.as_str()) else {
            return Ok(refused);
        };
        for (place, op) in statement.ops.iter().enumerate() {
            let Op::Ban(ban) = op else {
                continue;
            };
            let unknown = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
            let kind = trust::Kind::new(&ban.kind);
            let report = trust::Report {
                id: trust::ReportId(ban.provenance),
                org: org.clone(),
                asn: from.and_then(|from| self.shared.system_of(from)),
                network: network_of(from.unwrap_or(unknown)),
                target: ban.prefix,
                evidence: Evidence::of_kind(&kind),
                kind,
                lasts: u64::from(ban.lasts),
            };
            self.db.add_hearing(community, &report, turn.now)?;
            let Some(circle) = self.circles.get_mut(community) else {
                continue;
            };
            circle.court_changed = true;
            match circle.court.report(&report, turn.now.0) {
                Verdict::Ban(verdict) => self.pronounce(community, &verdict, turn)?,
                Verdict::Noted(_) => {}
                Verdict::Refused(why) => {
                    let reason = why.to_string();
                    self.refused(turn, by, "report", &reason, vec![ban.prefix]);
                    refused.push(RefusedBan {
                        op: place,
                        prefix: ban.prefix,
                        reason,
                    });
                }
                Verdict::HoldForPerson(why) => {
                    let reason = format!("waits for a person: {why}");
                    self.refused(turn, by, "report", &reason, vec![ban.prefix]);
                    refused.push(RefusedBan {
                        op: place,
                        prefix: ban.prefix,
                        reason,
                    });
                }
            }
        }
        Ok(refused)
    }

    /// The community's own ban, signed by its key.
    fn pronounce(
        &mut self,
        community: &CommunityId,
        verdict: &trust::CommunityBan,
        turn: &mut Turn,
    ) -> Result<(), Fail> {
        let voters: Vec<String> = verdict.voters.iter().map(|v| v.org.to_string()).collect();
        let grounds = format!(
            "{}; weight {:.2}; {}",
            serde_json::to_string(&verdict.grounds).unwrap_or_default(),
            verdict.weight,
            voters.join(", ")
        );
        let kind = verdict.voters.first().map_or("report", |v| v.kind.as_str());
        let most = u64::from(fleet::LASTS_SECONDS_MAX);
        let op = Op::Ban(SignedBan {
            prefix: verdict.prefix,
            lasts: u32::try_from(verdict.lasts.clamp(1, most)).unwrap_or(u32::MAX),
            kind: kind_word(kind),
            reason: plain(&format!(
                "community: {} organisations",
                verdict.voters.len()
            ))
            .into(),
            tlp: Tlp::Green,
            provenance: digest16(grounds.as_bytes()),
        });
        let hub = self.hub_organisation.clone();
        let Some(circle) = self.circles.get_mut(community) else {
            return Ok(());
        };
        let key = Arc::clone(&circle.hub_key);
        match circle.issue(&key, vec![op], turn.now) {
            Ok((statement, signed)) => {
                turn.act(FleetAct::CommunityBan {
                    at: turn.at,
                    community: community.to_string(),
                    prefix: verdict.prefix,
                    seconds: verdict.lasts,
                    grounds,
                });
                self.note_statement(&hub, community, &statement, &signed, turn);
                let origin = Origin {
                    kind: BAN,
                    origin: "community",
                    scenario: kind,
                    alert: None,
                };
                self.show(community, &hub, &statement, &origin, turn)?;
            }
            Err(e) => tracing::warn!(error = %e, "a community's ban could not be made"),
        }
        Ok(())
    }

    //-------- Releases ------------------------------------------------------

    pub(super) fn release(
        &mut self,
        by: &Caller,
        release: &Release,
        turn: &mut Turn,
    ) -> Outcome<Released> {
        gate::may(by, gate::Act::Release)?;
        let wanted: Vec<Arc<Ban>> = {
            let view = self.shared.view();
            let found = candidates(release, &view);
            found
                .into_iter()
                .filter(|b| fits(release, b) && by.may_release(b))
                .collect()
        };
        let mut answer = Released::default();
        for ban in wanted {
            if &*ban.kind == BAN {
                self.release_signed(&ban, &release.reason, turn)?;
            } else {
                self.end(&ban, EndCause::Released, turn.now)?;
            }
            answer.ids.push(ban.id);
            answer.prefixes.push(ban.prefix);
        }
        answer.prefixes.dedup();
        Ok(answer)
    }

    /// A release signed for the organisation that issued the ban, or by the hub in its place
    /// when only the member's own machines hold its keys.
    fn release_signed(&mut self, ban: &Ban, reason: &str, turn: &mut Turn) -> Outcome<()> {
        let own = ban.organisation == self.hub_organisation;
        let op = Op::Release(fleet::Release {
            prefix: ban.prefix,
            reason: plain(reason).into(),
            of: (!own).then(|| ban.organisation.clone()),
        });
        let hub = self.hub_organisation.clone();
        let circle = self
            .circles
            .get_mut(&ban.community)
            .ok_or(OrderError::Unknown)?;
        let key = Arc::clone(&circle.hub_key);
        let issued = circle.issue(&key, vec![op], turn.now);
        let (statement, signed) = issued.map_err(|e| OrderError::Refused(e.to_string()))?;
        self.note_statement(&hub, &ban.community, &statement, &signed, turn);
        let origin = Origin {
            kind: BAN,
            origin: "",
            scenario: "",
            alert: None,
        };
        self.show(&ban.community, &hub, &statement, &origin, turn)?;
        Ok(())
    }

    /// A member says that a ban is wrong.
    pub(super) fn appeal(
        &mut self,
        by: &Caller,
        community: &CommunityId,
        prefix: Prefix,
        reason: &str,
        turn: &mut Turn,
    ) -> Outcome<(bool, String, u64)> {
        gate::may(by, gate::Act::Appeal)?;
        let judge = match (by.role, trust::Org::new(by.organisation.as_str())) {
            (Role::Operator, _) => trust::By::Person(by.name.to_string()),
            (_, Ok(org)) => trust::By::Org(org),
            (_, Err(e)) => return Err(OrderError::Refused(e.to_string()).into()),
        };
        let circle = self.circles.get_mut(community).ok_or(OrderError::Unknown)?;
        circle.court_changed = true;
        let ruled = circle.court.reverse(prefix, &judge, reason, turn.now.0);
        self.db.set_court(community, &circle.court)?;
        let (released, text) = match ruled {
            Ok(reversal) => {
                let targets = if reversal.released.is_empty() {
                    vec![prefix]
                } else {
                    reversal.released
                };
                let count = self.reverse(by, community, &targets, reason, turn)?;
                (count > 0, format!("{count} bans lifted"))
            }
            Err(e) => (false, e.to_string()),
        };
        turn.act(FleetAct::Appeal {
            at: turn.at,
            organisation: by.organisation.to_string(),
            name: by.name.to_string(),
            community: community.to_string(),
            prefix,
            reason: plain(reason),
            outcome: text.clone(),
        });
        Ok((released, text, 0))
    }

    pub(super) fn explain(
        &self,
        community: &CommunityId,
        prefix: Prefix,
        now: HubTime,
    ) -> Result<serde_json::Value, OrderError> {
        let circle = self.circles.get(community).ok_or(OrderError::Unknown)?;
        let told = circle.court.explain(prefix, now.0);
        let told = serde_json::to_value(told);
        told.map_err(|e| OrderError::Refused(e.to_string()))
    }

    fn reverse(
        &mut self,
        by: &Caller,
        community: &CommunityId,
        targets: &[Prefix],
        reason: &str,
        turn: &mut Turn,
    ) -> Outcome<usize> {
        let mut count = 0;
        for target in targets {
            let hub = self.hub_organisation.clone();
            let bans: Vec<Arc<Ban>> = {
                let view = self.shared.view();
                let on = view.on(*target).filter(|b| b.community == *community);
                on.filter(|b| b.organisation == hub || b.organisation == by.organisation)
                    .cloned()
                    .collect()
            };
            for ban in bans {
                self.release_signed(&ban, reason, turn)?;
                count += 1;
            }
            turn.act(FleetAct::Reversal {
                at: turn.at,
                by: format!("{}/{}", by.organisation, by.name),
                community: community.to_string(),
                prefix: *target,
                reason: plain(reason),
            });
        }
        Ok(count)
    }
}

fn refusal(error: FleetError, circle: &Circle) -> OrderError {
    match error {
        FleetError::Replayed { key, .. } => OrderError::SequenceSeen {
            next: circle.set.next_sequence(key),
        },
        FleetError::BadSignature { .. } => OrderError::Signature,
        FleetError::RevokedKey { .. } => OrderError::Revoked,
        other => OrderError::Refused(other.to_string()),
    }
}

fn candidates(release: &Release, view: &View) -> Vec<Arc<Ban>> {
    let something = release.all
        || release.kind.is_some()
        || release.origin.is_some()
        || release.scenario.is_some();
    match (release.ids.is_empty(), release.prefix) {
        (false, _) => release
            .ids
            .iter()
            .filter_map(|id| view.bans.get(id))
            .cloned()
            .collect(),
        (true, Some(prefix)) if release.within => view.within(prefix).cloned().collect(),
        (true, Some(prefix)) => view.on(prefix).cloned().collect(),
        (true, None) if something => view.bans.values().cloned().collect(),
        (true, None) => Vec::new(),
    }
}

fn fits(release: &Release, ban: &Ban) -> bool {
    let same = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|w| w == is);
    let prefix = release.prefix.is_none_or(|p| {
        if release.within {
            p.covers(ban.prefix)
        } else {
            p == ban.prefix
        }
    });
    prefix
        && same(&release.kind, &ban.kind)
        && same(&release.origin, &ban.origin)
        && same(&release.scenario, &ban.scenario)
}

/// A scenario as a statement's kind: printable ASCII without space.
pub(super) fn kind_word(scenario: &str) -> Arc<str> {
    let plain = |c: char| if c.is_ascii_graphic() { c } else { '-' };
    let word: String = scenario
        .chars()
        .take(fleet::KIND_BYTES_MAX)
        .map(plain)
        .collect();
    if word.is_empty() {
        "report".into()
    } else {
        word.into()
    }
}

/// Without control characters, at most a reason's length.
pub(super) fn plain(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    let end = text.floor_char_boundary(fleet::REASON_BYTES_MAX);
    text.get(..end).unwrap_or_default().to_owned()
}

fn cut(text: &str) -> &str {
    let end = text.floor_char_boundary(limits::WORD_BYTES_MAX);
    text.get(..end).unwrap_or_default()
}

pub(super) fn digest16(bytes: &[u8]) -> [u8; 16] {
    let hash = Sha256::digest(bytes);
    let mut out = [0; 16];
    out.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    out
}

/// The network a guard stands in, for telling independent voices apart.
fn network_of(from: IpAddr) -> Prefix {
    let whole = Prefix::host(from);
    whole
        .widen(if whole.is_ipv4() { 24 } else { 48 })
        .unwrap_or(whole)
}
