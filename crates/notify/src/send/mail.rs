//! Mail by SMTP submission (RFC 6409), through `lettre`.

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use lettre::{
    SmtpTransport, Transport as _,
    message::{
        Mailbox, SinglePart,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        authentication::{Credentials, Mechanism},
        client::{Certificate, CertificateStore, Tls, TlsParameters},
        extension::ClientId,
    },
};

use super::Answer;
use crate::{
    error::NotifyError,
    message::{Kind, Message},
    outbox::Failure,
    render::words,
    target::{self, Email},
};

pub(crate) struct Mailer {
    transport: SmtpTransport,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Mailer {
    pub(crate) fn open(email: &Email, timeout: Duration) -> Result<Self, NotifyError> {
        let setup = |why: String| NotifyError::Setup {
            what: "the mail server",
            why,
        };
        let tls = match email.tls {
            target::Tls::None => Tls::None,
            target::Tls::Upgrade => Tls::Required(parameters(email)?),
            target::Tls::Implicit => Tls::Wrapper(parameters(email)?),
        };
        let mut builder = SmtpTransport::builder_dangerous(&email.host)
            .port(email.port)
            .tls(tls)
            .timeout(Some(timeout))
            .hello_name(hello());
        if let Some((user, place)) = &email.login {
            let password = place.read()?.reveal().to_owned();
            builder = builder
                .credentials(Credentials::new(user.clone(), password))
                .authentication(vec![Mechanism::Plain, Mechanism::Login]);
        }
        let mailbox = |text: &String| text.parse::<Mailbox>().map_err(|e| setup(e.to_string()));
        Ok(Self {
            transport: builder.build(),
            from: mailbox(&email.from)?,
            to: email.to.iter().map(mailbox).collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn send(&self, message: &Message, zone: &TimeZone) -> Answer {
        let mail = self
            .compose(message, zone)
            .map_err(|e| Failure::permanent(format!("the mail cannot be composed: {e}")))?;
        match self.transport.send(&mail) {
            Ok(reply) => {
                let said = reply.first_line().unwrap_or_default();
                Ok(crate::text::harmless(
                    &format!("{} {said}", reply.code()),
                    200,
                ))
            }
            Err(e) => Err(Failure {
                permanent: e.is_permanent(),
                ..Failure::passing(chain(&e))
            }),
        }
    }

    fn compose(
        &self,
        message: &Message,
        zone: &TimeZone,
    ) -> Result<lettre::Message, lettre::error::Error> {
        let domain = self.from.email.domain();
        let mut builder = lettre::Message::builder()
            .from(self.from.clone())
            .subject(words::subject(message))
            .message_id(Some(format!("<{}@{domain}>", message.id)))
            .date(SystemTime::now())
            .user_agent("Posse".to_owned());
        for mailbox in &self.to {
            builder = builder.to(mailbox.clone());
        }
        let mut headers = vec![
            // RFC 3834 §5: no vacation notice shall answer.
            ("Auto-Submitted", "auto-generated"),
            ("X-Posse-Severity", message.severity.word()),
        ];
        if message.severity >= crate::severity::Severity::High && message.kind != Kind::Digest {
            // RFC 2156 §5.3.6.
            headers.push(("Importance", "high"));
        }
        for (name, value) in headers {
            let name = HeaderName::new_from_ascii_str(name);
            builder = builder.raw_header(HeaderValue::new(name, value.to_owned()));
        }
        let part = SinglePart::builder()
            .header(ContentType::TEXT_PLAIN)
            .body(words::body(message, zone));
        builder.singlepart(part)
    }
}

fn parameters(email: &Email) -> Result<TlsParameters, NotifyError> {
    let setup = |e: lettre::transport::smtp::Error| NotifyError::Setup {
        what: "TLS of the mail server",
        why: chain(&e),
    };
    let mut builder = TlsParameters::builder(email.host.clone());
    if let Some(path) = &email.ca_file {
        builder = builder.certificate_store(CertificateStore::None);
        for der in super::roots(Some(path))?.iter() {
            builder =
                builder.add_root_certificate(Certificate::from_der(der.clone()).map_err(setup)?);
        }
    }
    builder.build().map_err(setup)
}

/// RFC 5321 §4.1.1.1: the host's name, if it is one.
fn hello() -> ClientId {
    let name = crate::host_name();
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    if !name.is_empty() && name.bytes().all(good) {
        ClientId::Domain(name)
    } else {
        ClientId::Ipv4(std::net::Ipv4Addr::LOCALHOST)
    }
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn mailer() -> Mailer {
        let email = Email {
            host: "127.0.0.1".into(),
            port: 25,
            tls: target::Tls::None,
            ca_file: None,
            login: None,
            from: "Posse <posse@example.net>".into(),
            to: vec!["admin@example.net".into(), "oncall@example.net".into()],
        };
        Mailer::open(&email, Duration::from_secs(1)).unwrap()
    }

    #[test]
    fn a_mail_has_its_headers_and_no_others() {
        let mut alert = samples::alert("203.0.113.9", 1);
        alert.rule = "x\r\nBcc: victim@example.net\r\n\r\nbody".into();
        alert.message = "größe\r\n.\r\nQUIT".into();
        let incident = crate::message::Incident::of_alert(&alert, alert.last);
        let message = Message::of(Kind::News, "web1", incident);
        let mail = mailer().compose(&message, &TimeZone::UTC).unwrap();
        let text = String::from_utf8(mail.formatted()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.to_ascii_lowercase().contains("\nbcc"), "{head}");
        let starts = |name: &str| head.lines().any(|line| line.starts_with(name));
        for name in [
            "From: ",
            "To: ",
            "Subject: ",
            "Date: ",
            "Message-ID: <",
            "Auto-Submitted: ",
        ] {
            assert!(starts(name), "{name} is not in\n{head}");
        }
        assert!(!body.contains("\r\n.\r\n"), "{body}");
        assert_eq!(mail.envelope().to().len(), 2);
    }

    #[test]
    fn a_dead_server_is_a_passing_failure() {
        let message = Message::of(Kind::News, "web1", samples::banned(1));
        let mut mailer = mailer();
        // A port of our own that nobody listens on.
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        mailer.transport = SmtpTransport::builder_dangerous("127.0.0.1")
            .port(port)
            .build();
        let failure = mailer.send(&message, &TimeZone::UTC).unwrap_err();
        assert!(!failure.permanent, "{failure:?}");
        assert!(failure.text.contains("refused"), "{failure:?}");
    }
}
