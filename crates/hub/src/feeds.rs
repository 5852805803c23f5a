//! Lists for firewalls that fetch them: `GET /feeds/FORMAT`.
//!
//! What the key's organisation sees, as `intel::feed` writes it. A list is made once for all who
//! ask alike, named by its content (ETag), and sent piece by piece. Nothing here decides who is
//! banned.

mod lists;

#[cfg(test)]
mod tests;

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Body,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::stream;
use intel::{
    Pairs,
    feed::{FeedQuestion, Format, Head, Writer},
    pairs,
};

use self::lists::{List, Lists};
use crate::{Caller, Core, core::unix_ms, gate::Needs, rate::Rate};

/// How often one key may ask: a burst for pages, then one a second.
const BURST: u32 = 60;
const EVERY: Duration = Duration::from_secs(1);
/// Text that is written before it is sent.
const PIECE_BYTES: usize = 64 * 1024;
/// Rows a firewall did not get although they are there: `SHOWN of ALL`.
const TRUNCATED: &str = "posse-truncated";

struct Door {
    core: Core,
    lists: Lists,
    rate: Rate,
}

pub fn router(core: Core) -> Router {
    let door = Door {
        lists: Lists::new(core.now(), unix_ms()),
        core,
        rate: Rate::new(BURST, EVERY),
    };
    Router::new()
        .route("/feeds/{format}", get(feed))
        .with_state(Arc::new(door))
}

async fn feed(
    State(door): State<Arc<Door>>,
    Path(format): Path<String>,
    RawQuery(query): RawQuery,
    needs: Needs,
    headers: HeaderMap,
) -> Response {
    let pairs = pairs(query.as_deref().unwrap_or_default());
    let Some(caller) = door.caller(&headers, &pairs) else {
        return challenge();
    };
    if let Err(error) = door.core.admit(&caller, needs) {
        return (StatusCode::FORBIDDEN, format!("{error}\n")).into_response();
    }
    if let Err(wait) = door.rate.take(&caller.name, Instant::now()) {
        let seconds = wait.as_secs() + 1;
        let retry = [(header::RETRY_AFTER, seconds.to_string())];
        let text = format!("asked too often; wait {seconds} s\n");
        return (StatusCode::TOO_MANY_REQUESTS, retry, text).into_response();
    }
    let Some(format) = Format::named(&format) else {
        let known: Vec<&str> = Format::ALL.iter().map(|f| f.word()).collect();
        let text = format!("no such format; known are {}\n", known.join(", "));
        return (StatusCode::NOT_FOUND, text).into_response();
    };
    let question = match FeedQuestion::read(format, &pairs) {
        Ok(question) => question,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    match door.lists.get(&door.core, &caller, &question).await {
        Some(list) => answer(&headers, &question, list),
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// A 401 that makes devices with a name and a password send them.
fn challenge() -> Response {
    let how = [(header::WWW_AUTHENTICATE, "Basic realm=\"posse feeds\"")];
    let text = "a bouncer's key is needed: X-Api-Key, ?key=, or as the password of basic \
                authentication\n";
    (StatusCode::UNAUTHORIZED, how, text).into_response()
}

impl Door {
    /// By a header, by basic authentication (the key is the password), or in the address, for
    /// devices that can do nothing else.
    fn caller(&self, headers: &HeaderMap, pairs: &Pairs) -> Option<Caller> {
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
        let basic = || {
            let (scheme, coded) = text("authorization")?.split_once(' ')?;
            let decoded = scheme
                .eq_ignore_ascii_case("basic")
                .then(|| STANDARD.decode(coded))?;
            let decoded = String::from_utf8(decoded.ok()?).ok()?;
            Some(decoded.split_once(':')?.1.to_owned())
        };
        let bearer = || {
            let (scheme, key) = text("authorization")?.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| key.to_owned())
        };
        let in_address = || {
            let named = |(name, _): &&(String, String)| name == "key" || name == "apikey";
            pairs.iter().find(named).map(|(_, value)| value.clone())
        };
        let key = text("x-api-key").map(str::to_owned);
        let key = key.or_else(basic).or_else(bearer).or_else(in_address)?;
        self.core.caller_by_key(&key)
    }
}

fn answer(headers: &HeaderMap, question: &FeedQuestion, list: Arc<List>) -> Response {
    let modified = UNIX_EPOCH + Duration::from_secs(list.modified.cast_unsigned());
    let mut common = HeaderMap::new();
    let mut put = |name, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            common.insert(name, value);
        }
    };
    put(header::ETAG, list.etag.clone());
    put(header::LAST_MODIFIED, httpdate::fmt_http_date(modified));
    put(header::CACHE_CONTROL, "private, no-cache".to_owned());
    if is_known(headers, &list) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    put(
        header::CONTENT_TYPE,
        question.format.content_type().to_owned(),
    );
    if let Some(bytes) = list.bytes {
        put(header::CONTENT_LENGTH, bytes.to_string());
    }
    if list.rows.len() < list.of {
        let truncated = format!("{} of {}", list.rows.len(), list.of);
        put(header::HeaderName::from_static(TRUNCATED), truncated);
    }
    let now = unix_ms().cast_signed() / 1_000;
    let writer = Writer::new(question.format, &question.name, now);
    let pieces = stream::unfold((list, writer, 0), |(list, writer, at)| async move {
        let (piece, next) = list.piece(&writer, at)?;
        // Others get their turn between two pieces.
        tokio::task::yield_now().await;
        Some((
            Ok::<_, Infallible>(Bytes::from(piece)),
            (list, writer, next),
        ))
    });
    (StatusCode::OK, common, Body::from_stream(pieces)).into_response()
}

/// RFC 9110 section 13.2.2: the date counts only where no tags are named.
fn is_known(headers: &HeaderMap, list: &List) -> bool {
    if let Some(tags) = headers.get(header::IF_NONE_MATCH) {
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let tags = tags.to_str().unwrap_or_default();
        return tags.trim() == "*" || tags.split(',').any(|t| opaque(t) == opaque(&list.etag));
    }
    let since = headers.get(header::IF_MODIFIED_SINCE);
    let since = since.and_then(|s| httpdate::parse_http_date(s.to_str().ok()?).ok());
    since.is_some_and(|since| {
        let since = since.duration_since(UNIX_EPOCH).unwrap_or_default();
        list.modified.cast_unsigned() <= since.as_secs()
    })
}

impl List {
    /// The text from row `at` on, and where the next piece begins. The head is before row 0.
    fn piece(&self, writer: &Writer, at: usize) -> Option<(String, usize)> {
        let mut out = String::with_capacity(PIECE_BYTES + 256);
        if at == 0 {
            writer.head(&self.head(), &mut out);
        }
        let mut next = at;
        for row in self.rows.get(at..)? {
            if out.len() >= PIECE_BYTES {
                break;
            }
            writer.row(row, &mut out);
            next += 1;
        }
        // One behind the last row is "done", so that an empty list has its head.
        let next = if next == self.rows.len() {
            next + 1
        } else {
            next
        };
        Some((out, next))
    }

    fn head(&self) -> Head<'_> {
        Head {
            list: &self.name,
            rows: self.rows.len(),
            of: self.of,
        }
    }
}
