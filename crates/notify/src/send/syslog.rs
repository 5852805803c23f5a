//! Syslog over UDP (RFC 5426), TCP (RFC 6587, octet counting) and a local socket.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket},
    time::Duration,
};

use jiff::tz::TimeZone;

use super::{Answer, datagram};
use crate::{
    message::Message,
    outbox::Failure,
    render::syslog,
    target::{Syslog, SyslogFormat, SyslogTo},
};

/// How long a refusal of a datagram may take to come back.
const REFUSAL_WAIT: Duration = Duration::from_millis(20);

pub(crate) fn send(to: &Syslog, message: &Message, timeout: Duration, zone: &TimeZone) -> Answer {
    let process = std::process::id();
    let line = match to.format {
        SyslogFormat::Local => syslog::local(message, to.facility, process, zone),
        SyslogFormat::Rfc5424 => syslog::rfc5424(message, to.facility, process, zone),
    };
    match &to.to {
        SyslogTo::Tcp(address) => over_tcp(address, &line, timeout),
        SyslogTo::Udp(address) => over_udp(address, &line),
        SyslogTo::Unix(path) => datagram::to_unix(path, line.as_bytes(), timeout),
    }
}

fn fault(what: &str, e: &std::io::Error) -> Failure {
    Failure::passing(format!("{what}: {e}"))
}

fn resolve(address: &str) -> Result<SocketAddr, Failure> {
    let mut found = address.to_socket_addrs().map_err(|e| fault(address, &e))?;
    found
        .next()
        .ok_or_else(|| Failure::passing(format!("{address} has no address")))
}

fn over_udp(address: &str, line: &str) -> Answer {
    let to = resolve(address)?;
    let here = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(here).map_err(|e| fault("cannot open a socket", &e))?;
    socket.connect(to).map_err(|e| fault(address, &e))?;
    socket
        .send(line.as_bytes())
        .map_err(|e| fault(address, &e))?;
    // Nobody answers a datagram, but a host that refuses it says so (ICMP).
    std::thread::sleep(REFUSAL_WAIT);
    match socket.take_error() {
        Ok(None) => Ok(format!("sent to {to} (UDP: nobody confirms)")),
        Ok(Some(e)) | Err(e) => Err(fault(address, &e)),
    }
}

fn over_tcp(address: &str, line: &str, timeout: Duration) -> Answer {
    let to = resolve(address)?;
    let mut stream = TcpStream::connect_timeout(&to, timeout).map_err(|e| fault(address, &e))?;
    stream
        .set_write_timeout(Some(timeout))
        .map_err(|e| fault(address, &e))?;
    // RFC 6587 §3.4.1.
    let frame = format!("{} {line}", line.len());
    stream
        .write_all(frame.as_bytes())
        .map_err(|e| fault(address, &e))?;
    stream
        .shutdown(std::net::Shutdown::Write)
        .map_err(|e| fault(address, &e))?;
    // A receiver that took it closes its side; one that broke resets the connection.
    stream
        .set_read_timeout(Some(timeout.min(Duration::from_secs(1))))
        .ok();
    let mut rest = [0; 64];
    match stream.read(&mut rest) {
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => Err(fault(address, &e)),
        _ => Ok(format!("written to {to}")),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::{message::Kind, samples};

    const SECOND: Duration = Duration::from_secs(1);

    fn send_to(to: SyslogTo) -> Answer {
        let to = Syslog {
            to,
            facility: 10,
            format: SyslogFormat::Rfc5424,
        };
        let message = Message::of(Kind::News, "web1", samples::banned(1));
        send(&to, &message, SECOND, &TimeZone::UTC)
    }

    #[test]
    fn frames_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let receiver = std::thread::spawn(move || {
            let mut text = String::new();
            listener
                .accept()
                .unwrap()
                .0
                .read_to_string(&mut text)
                .unwrap();
            text
        });
        send_to(SyslogTo::Tcp(address.clone())).unwrap();
        let text = receiver.join().unwrap();
        let (count, line) = text.split_once(' ').unwrap();
        assert_eq!(count.parse(), Ok(line.len()));
        assert!(
            send_to(SyslogTo::Tcp(address)).is_err(),
            "the listener is gone"
        );
    }

    #[test]
    fn a_refused_datagram_is_noticed() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap().to_string();
        send_to(SyslogTo::Udp(address.clone())).unwrap();
        let mut bytes = [0; 4_096];
        let n = socket.recv(&mut bytes).unwrap();
        assert!(bytes[..n].starts_with(b"<84>1 "));
        drop(socket);
        assert!(send_to(SyslogTo::Udp(address)).is_err());
    }
}
