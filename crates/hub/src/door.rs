//! For tests: a door's routes on a socket of their own, as a client meets them.

use std::{net::SocketAddr, sync::mpsc, thread};

use axum::Router;

/// Serves until the test ends; returns the URL to begin with.
pub(crate) fn open(router: Router) -> String {
    let (address, bound) = mpsc::channel();
    thread::spawn(move || {
        runtime().block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            address.send(listener.local_addr().unwrap()).unwrap();
            let service = router.into_make_service_with_connect_info::<SocketAddr>();
            axum::serve(listener, service).await.unwrap();
        });
    });
    format!("http://{}", bound.recv().unwrap())
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}
