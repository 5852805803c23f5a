//! How messages leave. The only place in this room that touches the network or other programs.
//!
//! Every send has a time limit and runs on its channel's own thread, so that nobody else waits.

mod command;
mod datagram;
mod mail;
mod syslog;
mod web;

use std::{path::Path, sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use rustls_native_certs::CertificateResult;

use crate::{
    config::ChannelPlan, error::NotifyError, message::Message, outbox::Failure, render,
    target::Target,
};

/// What the other side said, for people.
pub(crate) type Answer = Result<String, Failure>;

/// A channel ready to send: secrets are read, certificates loaded.
pub(crate) struct Way {
    means: Means,
    timeout: Duration,
    zone: TimeZone,
}

enum Means {
    Command(Vec<String>),
    Journal(Box<Path>),
    // One is large, and there are few of them.
    Mail(Box<mail::Mailer>),
    Syslog(crate::target::Syslog),
    Web(Box<web::Caller>),
}

impl Way {
    /// Reads what the channel needs from the disk.
    pub(crate) fn open(plan: &ChannelPlan, zone: &TimeZone) -> Result<Self, NotifyError> {
        let means = match &plan.target {
            Target::Email(email) => Means::Mail(Box::new(mail::Mailer::open(email, plan.timeout)?)),
            Target::Web(web) => {
                Means::Web(Box::new(web::Caller::open(web, &plan.name, plan.timeout)?))
            }
            Target::Syslog(syslog) => Means::Syslog(syslog.clone()),
            Target::Journal { socket } => Means::Journal(socket.as_path().into()),
            Target::Command { run } => Means::Command(run.clone()),
        };
        Ok(Self {
            means,
            timeout: plan.timeout,
            zone: zone.clone(),
        })
    }

    pub(crate) fn send(&self, message: &Message) -> Answer {
        match &self.means {
            Means::Command(run) => command::run(run, message, self.timeout, &self.zone),
            Means::Journal(socket) => {
                let bytes = render::journal::datagram(message, &self.zone);
                datagram::to_unix(socket, &bytes, self.timeout)
            }
            Means::Mail(mailer) => mailer.send(message, &self.zone),
            Means::Syslog(to) => syslog::send(to, message, self.timeout, &self.zone),
            Means::Web(caller) => caller.send(message, &self.zone),
        }
    }
}

/// The file's certificates, or those of this machine.
fn roots(ca_file: Option<&Path>) -> Result<Arc<Vec<Vec<u8>>>, NotifyError> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let found: Vec<Vec<u8>> = match ca_file {
        Some(path) => {
            let io = |why: String| NotifyError::Io {
                path: path.to_owned(),
                action: "read certificates",
                why,
            };
            let certificates =
                CertificateDer::pem_file_iter(path).map_err(|e| io(e.to_string()))?;
            let certificates: Result<Vec<_>, _> = certificates
                .map(|one| one.map(|der| der.to_vec()))
                .collect();
            certificates.map_err(|e| io(e.to_string()))?
        }
        None => {
            let CertificateResult { certs, .. } = rustls_native_certs::load_native_certs();
            certs.iter().map(|der| der.to_vec()).collect()
        }
    };
    if found.is_empty() {
        return Err(NotifyError::Setup {
            what: "TLS",
            why: "no certificate authority is known; run apt-get install ca-certificates, or \
                  name a file with ca_file"
                .into(),
        });
    }
    Ok(Arc::new(found))
}
