//! What the service manager is told: ready, reloading, stopping, and signs of life from the one
//! thread that everything depends on.

use super::Guard;

impl Guard {
    pub(super) fn announce_ready(&self) {
        self.supervisor.ready(&self.one_line());
    }

    pub(super) fn give_sign_of_life(&mut self) {
        if self.supervisor.is_due() {
            self.supervisor.alive(&self.one_line());
        }
    }

    fn one_line(&self) -> String {
        let bans = self.shield.len();
        let sources = self.sensors.sources().len();
        match self.shield.observing_because() {
            None => format!("enforcing; {bans} bans in force, {sources} sources watched"),
            Some(why) => format!("observing only ({why}); {sources} sources watched"),
        }
    }
}
