//! The control socket's side of the guard: what operators ask of a running one.

use std::time::Duration;

use model::{Entry, Prefix, Status, Timestamp};

use super::Guard;
use crate::{
    clock,
    control::{Reply, Request},
    order::{self, Wish},
    status,
};

impl Guard {
    pub(super) fn serve_requests(&mut self, now: Timestamp) {
        self.bell.hush();
        while let Ok(pending) = self.control.try_recv() {
            let answer = match pending.request {
                Request::Ban {
                    prefix,
                    seconds,
                    reason,
                    by,
                } => self.ban(prefix, Duration::from_secs(seconds), &reason, &by, now),
                Request::Unban { prefix, by } => self.unban(prefix, &by, now),
                // The connection's own business; see `control`.
                Request::Explain { .. }
                | Request::Hub { .. }
                | Request::Record { .. }
                | Request::Watch => (Reply::default(), Vec::new()),
                Request::Acknowledge { id, by } => self.acknowledge(id, by, now),
                Request::Digest => (self.digest(), Vec::new()),
                Request::Unacknowledged => (self.unacknowledged(), Vec::new()),
                Request::Status => {
                    let reply = Reply {
                        status: serde_json::to_value(self.status(now)).ok(),
                        ..Reply::default()
                    };
                    (reply, Vec::new())
                }
            };
            // The client may have gone; what was done stays done and recorded.
            if let Err(lost) = pending.answer.send(answer) {
                self.recorder.offer(lost.into_inner().1);
            }
        }
    }

    fn ban(
        &mut self,
        prefix: Prefix,
        duration: Duration,
        reason: &str,
        by: &str,
        now: Timestamp,
    ) -> (Reply, Vec<Entry>) {
        let facts = self.facts.latest();
        let wish = Wish {
            prefix,
            duration,
            reason,
            by,
        };
        let outcome = order::ban(&wish, &mut self.policy, &mut self.shield, &facts, now);
        self.execute(outcome, now)
    }

    fn unban(&mut self, prefix: Option<Prefix>, by: &str, now: Timestamp) -> (Reply, Vec<Entry>) {
        let outcome = order::unban(prefix, by, &mut self.policy, &mut self.shield, now);
        self.execute(outcome, now)
    }

    /// Into the kernel, then told; the control thread records it before it answers.
    fn execute(&mut self, mut outcome: order::Outcome, now: Timestamp) -> (Reply, Vec<Entry>) {
        let enforced = self.apply(&outcome.changes);
        outcome.reply.enforced = enforced;
        self.share(&outcome.verdicts, &[]);
        let in_kernel = enforced.then(clock::now);
        let entries = outcome.entries(in_kernel);
        self.tell(outcome.verdicts, in_kernel, now);
        (outcome.reply, entries)
    }

    pub(super) fn status(&mut self, now: Timestamp) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started,
            at: now,
            mode: if self.shield.enforces() {
                "enforce"
            } else {
                "observe"
            }
            .to_owned(),
            observing_because: self.shield.observing_because().map(str::to_owned),
            bans: self.shield.len() as u64,
            dropped: self.shield.counters().as_ref().map(status::kept_out),
            sources: status::sources(&self.sensors),
            engine: status::detection(self.engine.stats()),
            policy: status::policy(self.policy.stats()),
            recorder: status::record(self.recorder.status()),
            journal_failures: self.journal_failures,
            feed_lines_dropped: self.feed.dropped(),
            sandbox: self.sandbox.summary(),
            channels: self.notifier.status(),
            fleet: super::fleet::status(self.fleet.as_ref()),
            witnesses: self.asking.status(),
        }
    }
}
