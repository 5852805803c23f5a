//! Bans and releases, whoever orders them: third parties' reports, operators, members' signed
//! statements, the court.

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
    core::unix_ms,
    error::OrderError,
    gate, limits,
    member::{RefusedBan, StatementTaken},
    order::{NewBan, Release, Released, Report, Reported, StoredAlert},
    registry::CommunityRules,
    view::View,
};

/// The Local API's word for what a kernel does.
const BAN: &str = "ban";

/// Bans signed together: their statement fits its limit whatever their texts.
const OPS_PER_STATEMENT: usize = 200;

enum Made {
    Op(Op),
    Shown(BanId),
}

/// A ban of one order that is to be signed, and where its answer belongs.
struct Chosen {
    report: usize,
    place: usize,
    op: Op,
}

impl Chosen {
    fn slot<'a>(&self, answers: &'a mut [Reported]) -> Option<&'a mut Result<BanId, String>> {
        answers.get_mut(self.report)?.bans.get_mut(self.place)
    }
}

/// From where and why bans come, for the doors.
struct Origin<'a> {
    kind: &'a str,
    origin: &'a str,
    scenario: &'a str,
    alert: Option<u64>,
}

impl Worker {
    //-------- Third parties -------------------------------------------------

    pub(super) fn report(
        &mut self,
        by: &Caller,
        reports: Vec<Report>,
        turn: &mut Turn,
    ) -> Outcome<Vec<Reported>> {
        gate::may(by, gate::Act::Report)?;
        let max = limits::REPORTS_PER_ORDER_MAX;
        if reports.len() > max {
            return Err(OrderError::TooMany {
                max,
                what: "alerts",
            }
            .into());
        }
        let mut hash = Sha256::new();
        let mut alerts = 0;
        let mut answers = Vec::with_capacity(reports.len());
        let mut chosen = Vec::new();
        for (number, report) in reports.iter().enumerate() {
            let mut answer = Reported::default();
            if let Some(json) = &report.alert {
                alerts += 1;
                hash.update(json.to_string());
                answer.alert = Some(self.next_alert);
                self.next_alert += 1;
            }
            self.choose(by, number, &report.bans, &mut answer, &mut chosen, turn)?;
            answers.push(answer);
        }
        // One signature for many: each byte of a statement goes to every guard.
        for part in chosen.chunks(OPS_PER_STATEMENT) {
            self.issue_part(by, &reports, part, &mut answers, turn)?;
        }
        for (report, answer) in reports.into_iter().zip(&answers) {
            self.keep_alert(by, report, answer, turn)?;
        }
        if alerts > 0 {
            turn.act(FleetAct::AlertsTaken {
                at: turn.at,
                organisation: by.organisation.to_string(),
                name: by.name.to_string(),
                alerts,
                content: hash.finalize().iter().map(|b| format!("{b:02x}")).collect(),
            });
        }
        Ok(answers)
    }

    fn keep_alert(
        &self,
        by: &Caller,
        report: Report,
        answer: &Reported,
        turn: &Turn,
    ) -> Outcome<()> {
        let (Some(id), Some(json)) = (answer.alert, report.alert) else {
            return Ok(());
        };
        let kept = StoredAlert {
            id,
            organisation: by.organisation.clone(),
            machine: by.name.to_string(),
            created: turn.now,
            created_unix_ms: unix_ms(),
            alert: json,
            bans: answer
                .bans
                .iter()
                .filter_map(|b| b.as_ref().ok())
                .copied()
                .collect(),
        };
        Ok(self.db.add_alert(&kept, &report.value)?)
    }

    /// The bans of one report that are to be signed on behalf of the caller's organisation.
    fn choose(
        &mut self,
        by: &Caller,
        report: usize,
        bans: &[NewBan],
        answer: &mut Reported,
        chosen: &mut Vec<Chosen>,
        turn: &mut Turn,
    ) -> Outcome<()> {
        for (place, ban) in bans.iter().enumerate() {
            let outcome = if place < limits::BANS_PER_REPORT_MAX {
                self.op_for(by, ban, answer.alert, turn)
            } else {
                let max = limits::BANS_PER_REPORT_MAX;
                Err(Fail::Order(OrderError::TooMany {
                    max,
                    what: "bans in one report",
                }))
            };
            answer.bans.push(match outcome {
                Ok(Made::Shown(id)) => Ok(id),
                Ok(Made::Op(op)) => {
                    chosen.push(Chosen { report, place, op });
                    Err(String::new())
                }
                Err(Fail::Order(e)) => {
                    let reason = e.to_string();
                    self.refused(turn, by, "ban", &reason, vec![ban.prefix]);
                    Err(reason)
                }
                Err(e @ Fail::Hub(_)) => return Err(e),
            });
        }
        Ok(())
    }

    fn issue_part(
        &mut self,
        by: &Caller,
        reports: &[Report],
        part: &[Chosen],
        answers: &mut [Reported],
        turn: &mut Turn,
    ) -> Outcome<()> {
        let first = part.first().map(|one| one.report);
        match self.issue_for(by, reports, part, answers, turn) {
            // One report's fault, or its size, is not the others'.
            Err(Fail::Order(_)) if part.iter().any(|one| Some(one.report) != first) => part
                .chunk_by(|a, b| a.report == b.report)
                .try_for_each(|own| self.issue_part(by, reports, own, answers, turn)),
            Err(Fail::Order(e)) => {
                let reason = e.to_string();
                let prefixes = part.iter().map(|one| one.op.prefix()).take(64).collect();
                self.refused(turn, by, "ban", &reason, prefixes);
                for one in part {
                    if let Some(slot) = one.slot(answers) {
                        *slot = Err(reason.clone());
                    }
                }
                Ok(())
            }
            other => other,
        }
    }

    /// What one ban becomes: part of a statement, or (what no kernel can do) a line for doors.
    fn op_for(
        &mut self,
        by: &Caller,
        ban: &NewBan,
        alert: Option<u64>,
        turn: &Turn,
    ) -> Outcome<Made> {
        let refused = |why: String| Fail::Order(OrderError::Refused(why));
        let community = by.communities.first().cloned();
        let community = community.ok_or_else(|| refused("it is in no community".to_owned()))?;
        if let Some((list, _)) = self
            .shared
            .view()
            .registry
            .allowed(by, ban.prefix, turn.now)
        {
            return Err(refused(format!("on the allowlist {}", list.name)));
        }
        self.lawful(&community, by, ban.prefix).map_err(refused)?;
        let most = u64::from(fleet::LASTS_SECONDS_MAX);
        let lasts = u32::try_from(ban.seconds.clamp(1, most)).unwrap_or(u32::MAX);
        if ban.kind != BAN {
            let origin = Origin {
                kind: &ban.kind,
                origin: &ban.origin,
                scenario: &ban.scenario,
                alert,
            };
            let until = turn.now.plus(Duration::from_secs(u64::from(lasts)));
            let org = &by.organisation;
            return self
                .add(&community, org, ban.prefix, until, &origin, turn)
                .map(Made::Shown);
        }
        Ok(Made::Op(Op::Ban(SignedBan {
            prefix: ban.prefix,
            lasts,
            kind: kind_word(&ban.scenario),
            reason: plain(&ban.scenario).into(),
            tlp: Tlp::Green,
            provenance: provenance(alert, by),
        })))
    }

    fn issue_for(
        &mut self,
        by: &Caller,
        reports: &[Report],
        part: &[Chosen],
        answers: &mut [Reported],
        turn: &mut Turn,
    ) -> Outcome<()> {
        let refused = |why: String| Fail::Order(OrderError::Refused(why));
        let community = by.communities.first().cloned().ok_or(OrderError::Unknown)?;
        let key = self.desks.get(&by.organisation).cloned();
        let key = key.ok_or_else(|| refused("its organisation is not known here".to_owned()))?;
        self.affordable(&community, by, part.len(), turn.now)
            .map_err(refused)?;
        let circle = self
            .circles
            .get_mut(&community)
            .ok_or(OrderError::Unknown)?;
        let ops: Vec<Op> = part.iter().map(|one| one.op.clone()).collect();
        let issued = circle.issue(&key, ops, turn.now);
        let (statement, signed) = issued.map_err(|e| refused(e.to_string()))?;
        self.note_statement(&by.organisation, &community, &statement, &signed, turn);
        for one in part {
            let ban = reports.get(one.report).and_then(|r| r.bans.get(one.place));
            let (Some(ban), Op::Ban(made)) = (ban, &one.op) else {
                continue;
            };
            let origin = Origin {
                kind: &ban.kind,
                origin: &ban.origin,
                scenario: &ban.scenario,
                alert: answers.get(one.report).and_then(|answer| answer.alert),
            };
            let until = turn.now.plus(Duration::from_secs(u64::from(made.lasts)));
            let id = self.add(
                &community,
                &by.organisation,
                ban.prefix,
                until,
                &origin,
                turn,
            )?;
            if let Some(slot) = one.slot(answers) {
                *slot = Ok(id);
            }
        }
        self.hear(&community, by, &statement, None, turn)?;
        Ok(())
    }

    /// What no list may hold, the hub's addresses, widths: refused whoever asks.
    fn lawful(&self, community: &CommunityId, by: &Caller, prefix: Prefix) -> Result<(), String> {
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

    fn affordable(
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
                Op::Ban(ban) => {
                    let why = match self.lawful(community, by, ban.prefix) {
                        Err(why) => why,
                        Ok(()) => self.too_strict(community, ban.tlp)?,
                    };
                    Some(RefusedBan {
                        op: place,
                        prefix: ban.prefix,
                        reason: why,
                    })
                }
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
        let Some(circle) = self.circles.get_mut(community) else {
            return Err(OrderError::Unknown.into());
        };
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

    fn note_statement(
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
                    reason = reason.or(Some(&ban.reason));
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
    fn add(
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
    fn hear(
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
fn kind_word(scenario: &str) -> Arc<str> {
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
fn plain(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    let end = text.floor_char_boundary(fleet::REASON_BYTES_MAX);
    text.get(..end).unwrap_or_default().to_owned()
}

fn cut(text: &str) -> &str {
    let end = text.floor_char_boundary(limits::WORD_BYTES_MAX);
    text.get(..end).unwrap_or_default()
}

fn provenance(alert: Option<u64>, by: &Caller) -> [u8; 16] {
    let text = format!(
        "{}/{}/{}",
        by.organisation,
        by.name,
        alert.unwrap_or_default()
    );
    digest16(text.as_bytes())
}

fn digest16(bytes: &[u8]) -> [u8; 16] {
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
