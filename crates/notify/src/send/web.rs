//! Web services, through `ureq`: own JSON with a signature, and what chat and pager services take.

use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use ureq::{
    Agent,
    http::{Response, header::RETRY_AFTER},
    tls::{Certificate, RootCerts, TlsConfig},
};

use super::Answer;
use crate::{
    config::Blame,
    error::NotifyError,
    message::Message,
    outbox::Failure,
    render::{chat, json, pager},
    secret::{Place, Secret},
    target::{Form, Url, Web, check_url},
};

const ANSWER_BYTES_MAX: u64 = 4 << 10;
const HEADER_BYTES_MAX: usize = 32 << 10;

pub(crate) struct Caller {
    agent: Agent,
    url: Secret,
    form: Ready,
}

/// A form with its secrets read.
enum Ready {
    Discord,
    Ntfy {
        topic: String,
        token: Option<Secret>,
    },
    PagerDuty {
        routing_key: Secret,
    },
    Posse {
        secret: Option<Secret>,
        token: Option<Secret>,
    },
    Slack,
    Teams,
}

impl Caller {
    pub(crate) fn open(web: &Web, name: &str, timeout: Duration) -> Result<Self, NotifyError> {
        let url = match &web.url {
            Url::Known(url) => Secret::new(url.clone()),
            Url::Secret(place) => {
                let url = place.read()?;
                check_url(url.reveal(), web.transport, Blame(name))?;
                url
            }
        };
        let read = |place: &Option<Place>| place.as_ref().map(Place::read).transpose();
        let form = match &web.form {
            Form::Discord => Ready::Discord,
            Form::Ntfy { topic, token } => Ready::Ntfy {
                topic: topic.clone(),
                token: read(token)?,
            },
            Form::PagerDuty { routing_key } => Ready::PagerDuty {
                routing_key: routing_key.read()?,
            },
            Form::Posse { secret, token } => Ready::Posse {
                secret: read(secret)?,
                token: read(token)?,
            },
            Form::Slack => Ready::Slack,
            Form::Teams => Ready::Teams,
        };
        let mut config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // A redirect would take the alert somewhere that nobody configured.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(HEADER_BYTES_MAX)
            .max_idle_connections(0)
            .user_agent("Posse");
        if url.reveal().starts_with("https:") {
            config = config.tls_config(tls(web)?);
        }
        Ok(Self {
            agent: config.build().new_agent(),
            url,
            form,
        })
    }

    pub(crate) fn send(&self, message: &Message, zone: &TimeZone) -> Answer {
        let body = match &self.form {
            Ready::Discord => chat::discord(message, zone),
            Ready::Ntfy { topic, .. } => chat::ntfy(message, topic, zone),
            Ready::PagerDuty { routing_key } => pager::event(message, routing_key.reveal(), zone),
            Ready::Posse { .. } => json::value(message, zone),
            Ready::Slack => chat::slack(message, zone),
            Ready::Teams => chat::teams(message, zone),
        };
        let body = body.to_string().into_bytes();
        let mut request = self
            .agent
            .post(self.url.reveal())
            .header("Content-Type", "application/json");
        if let Ready::Posse { secret, .. } = &self.form {
            let timestamp = jiff::Timestamp::now().as_second();
            request = request
                .header("Posse-Message", message.id.to_string())
                .header("Posse-Timestamp", timestamp.to_string());
            if let Some(secret) = secret {
                let hmac = json::signature(secret.reveal().as_bytes(), timestamp, &body);
                request = request.header("Posse-Signature", format!("sha256={hmac}"));
            }
        }
        if let Ready::Posse {
            token: Some(token), ..
        }
        | Ready::Ntfy {
            token: Some(token), ..
        } = &self.form
        {
            request = request.header("Authorization", format!("Bearer {}", token.reveal()));
        }
        match request.send(&body[..]) {
            Ok(response) => self.judge(response),
            Err(e) => Err(Failure::passing(self.without_url(&e.to_string()))),
        }
    }

    fn judge(&self, mut response: Response<ureq::Body>) -> Answer {
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        let body = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .lossy_utf8(true)
            .read_to_string()
            .unwrap_or_default();
        let text = crate::text::harmless(body.trim(), 200);
        let text = self.without_url(format!("{status} {text}").trim_end());
        if status.is_success() {
            return Ok(text);
        }
        // 408 and 429 pass; 401, 403 and 404 mend when the operator mends the channel, so the
        // message is kept for that. What is left of 4xx says that this message is not wanted.
        let permanent = matches!(status.as_u16(), 400 | 405..=407 | 409..=428);
        Err(Failure {
            text,
            permanent,
            retry_after,
        })
    }

    /// The address may be a secret, and errors like to show it.
    fn without_url(&self, text: &str) -> String {
        text.replace(self.url.reveal(), "(url)")
    }
}

fn tls(web: &Web) -> Result<TlsConfig, NotifyError> {
    let roots = super::roots(web.ca_file.as_deref())?;
    let roots = roots
        .iter()
        .map(|der| Certificate::from_der(der).to_owned());
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::from(roots.collect::<Vec<_>>()))
        .build())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Read as _, Write as _},
        net::TcpListener,
        thread::JoinHandle,
    };

    use super::*;
    use crate::{message::Kind, samples, target::Http};

    /// Answers one request, gives what it got.
    fn server(answer: &'static str) -> (String, JoinHandle<(String, String)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!(
            "http://{}/hook?token=hidden",
            listener.local_addr().unwrap()
        );
        let thread = std::thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(&stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                reader.read_line(&mut head).unwrap();
            }
            let length = head
                .lines()
                .find_map(|l| {
                    l.to_ascii_lowercase()
                        .strip_prefix("content-length: ")?
                        .parse()
                        .ok()
                })
                .unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            (&stream).write_all(answer.as_bytes()).unwrap();
            (head, String::from_utf8(body).unwrap())
        });
        (url, thread)
    }

    fn caller(url: &str, secret: Option<&str>) -> Caller {
        let web = Web {
            url: Url::Known(url.to_owned()),
            transport: Http::Secure,
            form: Form::Posse {
                secret: None,
                token: None,
            },
            ca_file: None,
        };
        let mut caller = Caller::open(&web, "web", Duration::from_secs(5)).unwrap();
        let secret = secret.map(|s| Secret::new(s.to_owned()));
        caller.form = Ready::Posse {
            secret,
            token: Some(Secret::new("tok".into())),
        };
        caller
    }

    fn message() -> Message {
        Message::of(Kind::News, "web1", samples::banned(1))
    }

    #[test]
    fn the_body_is_signed() {
        let (url, server) = server("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        let answer = caller(&url, Some("s3cret")).send(&message(), &TimeZone::UTC);
        assert_eq!(answer.unwrap(), "204 No Content");
        let (head, body) = server.join().unwrap();
        let header = |name: &str| {
            let found = head.lines().find_map(|line| {
                let (key, value) = line.split_once(": ")?;
                key.eq_ignore_ascii_case(name).then(|| value.to_owned())
            });
            found.unwrap_or_else(|| panic!("{name} is not in {head}"))
        };
        let timestamp: i64 = header("posse-timestamp").parse().unwrap();
        let expected = json::signature(b"s3cret", timestamp, body.as_bytes());
        assert_eq!(header("posse-signature"), format!("sha256={expected}"));
        assert_eq!(header("authorization"), "Bearer tok");
        assert_eq!(header("posse-message"), message().id.to_string());
    }

    #[test]
    fn answers_are_judged_and_do_not_show_the_address() {
        for (answer, permanent, after) in [
            (
                "HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops",
                false,
                None,
            ),
            (
                "HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
                false,
                Some(7),
            ),
            ("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", true, None),
            (
                "HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n",
                false,
                None,
            ),
            (
                "HTTP/1.1 302 F\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n",
                false,
                None,
            ),
        ] {
            let (url, server) = server(answer);
            let failure = caller(&url, None)
                .send(&message(), &TimeZone::UTC)
                .unwrap_err();
            server.join().unwrap();
            assert_eq!(failure.permanent, permanent, "{answer}");
            assert_eq!(
                failure.retry_after,
                after.map(Duration::from_secs),
                "{answer}"
            );
            assert!(!failure.text.contains("hidden"), "{failure:?}");
        }
    }
}
