//! One HTTP/2 connection to a hub over TLS. Every answer is bounded in bytes; what bounds it in
//! time is the caller's business.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response,
    body::Incoming,
    client::conn::http2::{self, SendRequest},
    header::RETRY_AFTER,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{address::HubUrl, error::UplinkError};

const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// A hub that is cut off is noticed after the sum of these two.
const PING_EVERY: Duration = Duration::from_secs(10);
const PING_WAIT: Duration = Duration::from_secs(10);
/// What the hub may send before we have read it: of one stream, and of all.
const STREAM_WINDOW: u32 = 512 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;
const ANSWER_BYTES_MAX: usize = fleet::api::API_BODY_BYTES_MAX;
const FAULT_CHARS_MAX: usize = 500;

/// Cheap to clone; requests go side by side.
#[derive(Clone)]
pub(crate) struct Connection {
    hub: Arc<str>,
    authority: Arc<str>,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    pub(crate) async fn open(hub: &HubUrl, config: Arc<ClientConfig>) -> Result<Self, UplinkError> {
        let name = hub.server_name()?;
        let failed = |source| UplinkError::Connect {
            hub: hub.to_string(),
            source,
        };
        let asked = hub.clone();
        // The resolver of the C library blocks.
        let found = tokio::task::spawn_blocking(move || asked.resolve()).await;
        let addresses = found.map_err(|e| failed(std::io::Error::other(e)))?;
        let stream = connect(&addresses.map_err(failed)?).await.map_err(failed)?;
        stream.set_nodelay(true).ok();
        let handshake = TlsConnector::from(config).connect(name, stream);
        let stream = tokio::time::timeout(CONNECT_WAIT, handshake)
            .await
            .map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?
            .map_err(failed)?;
        let broken = |source| UplinkError::Broken {
            hub: hub.to_string(),
            source,
        };
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_WAIT)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        tokio::spawn(async move {
            if let Err(e) = connection.await {
                tracing::debug!(error = %e, "the connection to the hub ended");
            }
        });
        Ok(Self {
            hub: hub.to_string().into(),
            authority: hub.authority().into(),
            sender,
        })
    }

    /// The answer's head; its body is still to be read.
    pub(crate) async fn get(&mut self, path: &str) -> Result<Response<Incoming>, UplinkError> {
        let request = self.request(Method::GET, path, "*/*", Bytes::new())?;
        self.send(request).await
    }

    pub(crate) async fn post_json<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, UplinkError> {
        let body = serde_json::to_vec(body).unwrap_or_default();
        self.post(path, "application/json", body.into()).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> Result<T, UplinkError> {
        let request = self.request(Method::POST, path, kind, body)?;
        let answer = self.send(request).await?;
        let bytes = self.read_all(answer, ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&bytes).map_err(|e| self.unusable(e.to_string()))
    }

    /// As [`Self::post`], with one header more.
    pub(crate) async fn post_with<T: DeserializeOwned>(
        &mut self,
        path: &str,
        kind: &str,
        (name, value): (&'static str, &str),
        body: Bytes,
    ) -> Result<T, UplinkError> {
        let mut request = self.request(Method::POST, path, kind, body)?;
        let value = value
            .parse()
            .map_err(|_| self.unusable(format!("{name} is no header")))?;
        request.headers_mut().insert(name, value);
        let answer = self.send(request).await?;
        let bytes = self.read_all(answer, ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&bytes).map_err(|e| self.unusable(e.to_string()))
    }

    pub(crate) async fn read_all(
        &self,
        answer: Response<Incoming>,
        bytes_max: usize,
    ) -> Result<Vec<u8>, UplinkError> {
        let mut body = answer.into_body();
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| self.broken(e))?;
            if let Some(data) = frame.data_ref() {
                if bytes.len() + data.len() > bytes_max {
                    return Err(self.unusable(format!("more than {bytes_max} bytes")));
                }
                bytes.extend_from_slice(data);
            }
        }
        Ok(bytes)
    }

    pub(crate) fn broken(&self, source: hyper::Error) -> UplinkError {
        UplinkError::Broken {
            hub: self.hub.to_string(),
            source,
        }
    }

    pub(crate) fn unusable(&self, why: String) -> UplinkError {
        UplinkError::Answer {
            hub: self.hub.to_string(),
            why,
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, UplinkError> {
        Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.authority))
            .header("content-type", kind)
            .body(Full::new(body))
            .map_err(|e| self.unusable(e.to_string()))
    }

    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, UplinkError> {
        self.sender.ready().await.map_err(|e| self.broken(e))?;
        let answer = self.sender.send_request(request).await;
        let answer = answer.map_err(|e| self.broken(e))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(self.refusal(answer).await)
    }

    async fn refusal(&self, answer: Response<Incoming>) -> UplinkError {
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let bytes = self.read_all(answer, ANSWER_BYTES_MAX).await;
        let bytes = bytes.unwrap_or_default();
        let fault: Option<fleet::api::Fault> = serde_json::from_slice(&bytes).ok();
        let mut ops = Vec::new();
        let (text, code, last_sequence) = match fault {
            Some(fault) => {
                ops.extend(fault.refused.iter().map(|refused| refused.op));
                (fault.error, fault.code, fault.last_sequence)
            }
            None => (
                String::from_utf8_lossy(&bytes).into_owned(),
                String::new(),
                None,
            ),
        };
        let plain = model::harmless(&text).to_string();
        UplinkError::Refused {
            hub: self.hub.to_string(),
            status,
            code: code.into(),
            text: plain
                .chars()
                .take(FAULT_CHARS_MAX)
                .collect::<String>()
                .into(),
            retry_after: retry_after.map(Duration::from_secs),
            last_sequence,
            ops: ops.into(),
        }
    }
}

/// The first address that answers.
async fn connect(addresses: &[std::net::SocketAddr]) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match tokio::time::timeout(CONNECT_WAIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(e)) => last = e,
            Err(_) => last = std::io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}
