//! What the sensors' thread is handed because it may not be allowed to get it for itself: sockets
//! that listen, and a thread that starts programs.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
};

use crate::{
    Input, SourceSpec,
    journal::children::Children,
    syslog::{bind_tcp, bind_udp},
};

/// Everything from outside that [`crate::Sensors`] work with.
#[derive(Debug)]
pub struct Doors {
    pub children: Children,
    pub listeners: Listeners,
}

impl Doors {
    /// Opens what `specs` listen on.
    pub fn open(specs: &[SourceSpec]) -> io::Result<Self> {
        let mut listeners = Listeners::default();
        listeners.open(specs, &Held::default());
        Ok(Self {
            children: Children::start()?,
            listeners,
        })
    }
}

/// Sockets by the address that the configuration gives them, or why there is none.
#[derive(Debug, Default)]
pub struct Listeners {
    udp: BTreeMap<SocketAddr, io::Result<UdpSocket>>,
    tcp: BTreeMap<SocketAddr, io::Result<TcpListener>>,
}

/// What is listened on already, so that it need not (and could not) be opened again.
#[derive(Clone, Debug, Default)]
pub struct Held {
    pub(crate) udp: Vec<SocketAddr>,
    pub(crate) tcp: Vec<SocketAddr>,
}

impl Listeners {
    /// Opens what `specs` listen on and `held` has not.
    pub fn open(&mut self, specs: &[SourceSpec], held: &Held) {
        for spec in specs {
            match spec.input {
                Input::SyslogUdp { listen } if !held.udp.contains(&listen) => {
                    self.udp.entry(listen).or_insert_with(|| bind_udp(listen));
                }
                Input::SyslogTcp { listen } if !held.tcp.contains(&listen) => {
                    self.tcp.entry(listen).or_insert_with(|| bind_tcp(listen));
                }
                Input::SyslogUdp { .. }
                | Input::SyslogTcp { .. }
                | Input::File { .. }
                | Input::Journal { .. }
                | Input::Stdin => {}
            }
        }
    }

    pub(crate) fn add_udp(&mut self, listen: SocketAddr, socket: io::Result<UdpSocket>) {
        self.udp.insert(listen, socket);
    }

    pub(crate) fn add_tcp(&mut self, listen: SocketAddr, socket: io::Result<TcpListener>) {
        self.tcp.insert(listen, socket);
    }

    pub(crate) fn udp(&mut self, listen: SocketAddr) -> io::Result<UdpSocket> {
        self.udp.remove(&listen).unwrap_or_else(|| bind_udp(listen))
    }

    pub(crate) fn tcp(&mut self, listen: SocketAddr) -> io::Result<TcpListener> {
        self.tcp.remove(&listen).unwrap_or_else(|| bind_tcp(listen))
    }
}
