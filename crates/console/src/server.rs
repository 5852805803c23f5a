//! The listening socket and its connections: how many, how large, how long.

use std::{io, net::TcpListener, sync::Arc, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::TcpStream,
    sync::OwnedSemaphorePermit,
    time::{interval, sleep, timeout},
};

use crate::{
    clock,
    limits::{
        CONNECTION_LIFE, HEAD_BYTES_MAX, HEAD_WAIT, HEADERS_MAX, REFRESH_EVERY, UPDATE_EVERY,
    },
    routes,
    shared::Shared,
};

/// Pause after the kernel refused a connection (no descriptors left).
const RECOVERY: Duration = Duration::from_millis(200);

pub(crate) async fn serve(
    listener: TcpListener,
    shared: Arc<Shared>,
    ledger: Router,
) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    tokio::spawn(keep_up(Arc::clone(&shared)));
    let router = routes::router(Arc::clone(&shared), ledger);
    loop {
        // Whoever comes while all places are taken waits in the kernel's queue.
        let Ok(place) = Arc::clone(&shared.connections).acquire_owned().await else {
            return Ok(());
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(converse(stream, router.clone(), place));
            }
            Err(e) => {
                tracing::debug!(error = %e, "a connection could not be taken");
                sleep(RECOVERY).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, router: Router, _place: OwnedSemaphorePermit) {
    stream.set_nodelay(true).ok();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Ok(Err(e)) = timeout(CONNECTION_LIFE, connection).await {
        tracing::debug!(error = %e, "a connection ended early");
    }
}

/// Samples the numbers also while nobody looks, and holds the lists against the store.
async fn keep_up(shared: Arc<Shared>) {
    let mut ticks = interval(UPDATE_EVERY);
    let every = REFRESH_EVERY.as_secs() / UPDATE_EVERY.as_secs().max(1);
    let mut since_refresh = every;
    loop {
        ticks.tick().await;
        shared.read();
        since_refresh += 1;
        if since_refresh >= every {
            since_refresh = 0;
            refresh(&shared).await;
        }
    }
}

async fn refresh(shared: &Shared) {
    let now = clock::now();
    let wanted = shared.picture().wanted();
    match shared.history.newest(now, wanted).await {
        Ok(known) => {
            let mut picture = shared.picture();
            picture.learn(known, now);
            let version = picture.version;
            drop(picture);
            shared.rung.send_if_modified(|known| {
                let newer = *known != version;
                *known = version;
                newer
            });
        }
        Err(why) => shared.picture().store_fault = Some(why.to_string()),
    }
}
