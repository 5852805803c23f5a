//! Bans that third parties report: agents' alerts and operators' orders, signed by the key that the
//! hub holds for the caller's organisation. Each is judged and answered for itself; what is taken
//! of one request goes out under one signature.

use std::time::Duration;

use fleet::{Ban as SignedBan, Op};
use model::{FleetAct, Tlp};
use sha2::{Digest as _, Sha256};

use super::{
    Fail, Outcome, Turn, Worker,
    bans::{BAN, Origin, digest16, kind_word, plain},
};
use crate::{
    ban::BanId,
    caller::Caller,
    core::unix_ms,
    error::OrderError,
    gate, limits,
    order::{NewBan, Report, Reported, StoredAlert},
};

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

impl Worker {
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
        let (kind, mut reason) = (kind_word(&ban.scenario), plain(&ban.scenario));
        // It goes to every guard; once is enough.
        if reason == *kind {
            reason.clear();
        }
        Ok(Made::Op(Op::Ban(SignedBan {
            prefix: ban.prefix,
            lasts,
            kind,
            reason: reason.into(),
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

#[cfg(test)]
mod tests {
    use fleet::{Body, Frame, Generation};

    use super::*;
    use crate::{Hub, door};

    fn report(prefixes: &[&str]) -> Report {
        let ban = |prefix: &&str| NewBan {
            prefix: prefix.parse().unwrap(),
            seconds: 3_600,
            kind: "ban".into(),
            origin: "crowdsec".into(),
            scenario: "test".into(),
        };
        Report {
            bans: prefixes.iter().map(ban).collect(),
            alert: Some(serde_json::json!({"of": prefixes})),
            ..Report::default()
        }
    }

    #[test]
    fn alerts_of_one_request_share_a_signature_and_are_answered_each() {
        let hub = Hub::in_memory("hub".parse().unwrap()).unwrap();
        let (core, runtime) = (hub.core(), door::runtime());
        let by = core.operator("test");
        let community = "main".parse().unwrap();
        let ask = |reports| runtime.block_on(core.report(&by, reports)).unwrap();
        ask(vec![report(&["192.0.2.1"])]);
        let answers = ask(vec![
            report(&["192.0.2.2", "192.0.2.3"]),
            report(&["127.0.0.1"]),
            report(&["198.51.100.4"]),
        ]);
        let taken: Vec<Vec<bool>> = answers
            .iter()
            .map(|answer| answer.bans.iter().map(Result::is_ok).collect())
            .collect();
        assert_eq!(taken, [vec![true, true], vec![false], vec![true]]);
        let mut alerts: Vec<_> = answers.iter().map(|answer| answer.alert.unwrap()).collect();
        alerts.dedup();
        assert_eq!(alerts.len(), 3);
        // The community's founding is the first generation, the first request the second.
        let opening = core.open_stream(&community, Generation(2), 0);
        let first = runtime.block_on(opening).unwrap().first;
        let mut rest = first.as_ref();
        let mut statements = Vec::new();
        while let Some((frame, taken)) = Frame::split(rest).unwrap() {
            if let Body::Change { statements: of, .. } = Frame::decode(frame).unwrap().body {
                statements.extend(of);
            }
            rest = &rest[taken..];
        }
        assert_eq!(statements.len(), 1);
        assert_eq!(statements[0].signed.read().unwrap().ops.len(), 3);
    }
}
