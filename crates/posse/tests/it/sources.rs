//! Sources other than files, through the real binary.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::{Command, Stdio},
};

use crate::support::{Guard, POSSE, Site, failed_login, stdout, wait_until};

/// A port of this machine that nobody uses now.
fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// As a syslog daemon of today sends it (RFC 5424).
fn rfc5424(address: &str, port: u32) -> String {
    let now = jiff::Timestamp::now();
    format!("<38>1 {now} gw sshd 77 - - Failed password for root from {address} port {port} ssh2")
}

#[test]
fn syslog_over_udp_and_tcp_is_detected_on() {
    let (udp, tcp) = (free_port(), free_port());
    let site = Site::with_config(&format!(
        "[[source]]\nsyslog_udp = \"{udp}\"\n[[source]]\nsyslog_tcp = \"{tcp}\"\n"
    ));
    let _guard = Guard::start(&site, None, &["--observe"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for n in 0..6 {
        let old = format!(
            "<38>Jan  5 10:00:0{n} gw sshd[7]: Failed password for root from 198.51.100.60 port 4{n} ssh2"
        );
        socket.send_to(old.as_bytes(), udp).unwrap();
    }
    wait_until("the attack over UDP is seen", || {
        site.bans() == ["198.51.100.60"]
    });
    let mut stream = TcpStream::connect(tcp).unwrap();
    for n in 0..6 {
        // Octet-counted and newline-framed in turn (RFC 6587 section 3.4).
        let message = rfc5424("198.51.100.61", n);
        let framed = if n % 2 == 0 {
            format!("{} {message}", message.len())
        } else {
            format!("{message}\n")
        };
        stream.write_all(framed.as_bytes()).unwrap();
    }
    wait_until("the attack over TCP is seen", || site.bans().len() == 2);
    let alerts = site.alerts();
    let raw = alerts[0]["alert"]["evidence"][0]["raw"]["text"]
        .as_str()
        .unwrap_or_default();
    assert!(
        raw.starts_with("<38>1 "),
        "the evidence is the message as it came: {raw}"
    );
}

#[test]
fn standard_input_is_watched_until_it_ends() {
    let site = Site::new();
    std::fs::write(
        site.config(),
        "[[source]]\nstdin = true\ntype = \"syslog\"\n",
    )
    .unwrap();
    let mut child = Command::new(POSSE)
        .args(["run", "--observe", "--until-end", "--config"])
        .arg(site.config())
        .arg("--state")
        .arg(site.state())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let text: String = (0..6).map(|n| failed_login("198.51.100.62", n)).collect();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(
        stdout(&output).contains("BAN      198.51.100.62"),
        "{}",
        stdout(&output)
    );
    assert_eq!(site.bans(), ["198.51.100.62"]);
}
