//! The victim's service in a drill: a small real listener in the manner of SSH and one for HTTP.
//!
//! Both answer real clients over TCP and log as their models do: OpenSSH through syslog, nginx in
//! the combined format. Accounts do not exist here; only the drill's own client, which shows the
//! drill's pass phrase, is let in. Runs in the victim's namespace as a child of the drill.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use jiff::{Zoned, tz::TimeZone};

use super::report::{Step, say, say_at};
use crate::clock;

pub(super) const SSH_PORT: u16 = 22;
pub(super) const HTTP_PORT: u16 = 80;
/// What the drill's benign client knows and its attackers never guess.
pub(super) const PASS: &str = "drill-pass-phrase";
/// Greeting of the SSH-style service (RFC 4253 section 4.2).
const SSH_BANNER: &str = "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3";
const CONNECTIONS_MAX: usize = 64;
const IDLE: Duration = Duration::from_secs(10);

/// Serves until the process is ended by the drill. Logs go to `auth.log` and `access.log` in `dir`.
pub(super) fn serve(dir: &Path) -> Result<()> {
    let auth = log(&dir.join("auth.log"))?;
    let access = log(&dir.join("access.log"))?;
    let ssh = listen(SSH_PORT)?;
    let http = listen(HTTP_PORT)?;
    say(&Step::Ready);
    let web = thread::spawn(move || accept(&http, &access, web_visit));
    accept(&ssh, &auth, shell_visit);
    web.join().ok();
    Ok(())
}

type Log = Arc<Mutex<File>>;

fn log(path: &Path) -> Result<Log> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    Ok(Arc::new(Mutex::new(file)))
}

fn listen(port: u16) -> Result<TcpListener> {
    // Dual-stack: an IPv4 peer arrives as a mapped address.
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
        .with_context(|| format!("cannot listen on port {port} of the victim's namespace"))
}

fn accept(listener: &TcpListener, log: &Log, visit: fn(TcpStream, SocketAddr, &Log) -> Result<()>) {
    let open = Arc::new(());
    for stream in listener.incoming().flatten() {
        if Arc::strong_count(&open) > CONNECTIONS_MAX {
            continue;
        }
        let (log, guard) = (Arc::clone(log), Arc::clone(&open));
        thread::spawn(move || {
            let _guard = guard;
            if let Ok(peer) = stream.peer_addr() {
                // A visitor who hangs up early is no concern of the service.
                visit(stream, peer, &log).ok();
            }
        });
    }
}

/// Banner, then lines `user password`; a wrong one is logged and may be followed by another.
fn shell_visit(stream: TcpStream, peer: SocketAddr, log: &Log) -> Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    stream.set_nodelay(true)?;
    let mut out = stream.try_clone()?;
    out.write_all(format!("{SSH_BANNER}\r\n").as_bytes())?;
    let mut lines = BufReader::new(stream.take(64 << 10)).lines();
    lines.next().context("no banner from the client")??;
    for line in lines {
        let line = line?;
        let (user, password) = line.split_once(' ').context("not a login")?;
        let address = peer.ip().to_canonical();
        if password == PASS {
            let text = format!(
                "Accepted password for {user} from {address} port {} ssh2",
                peer.port()
            );
            write_syslog(log, &text, peer)?;
            out.write_all(b"welcome\n")?;
        } else {
            let text = format!(
                "Failed password for invalid user {user} from {address} port {} ssh2",
                peer.port()
            );
            write_syslog(log, &text, peer)?;
            out.write_all(b"denied\n")?;
        }
    }
    Ok(())
}

fn write_syslog(log: &Log, text: &str, peer: SocketAddr) -> Result<()> {
    let now = Zoned::now().with_time_zone(TimeZone::UTC);
    let stamp = now.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00");
    write_line(log, &format!("{stamp} victim sshd[4711]: {text}\n"), peer)
}

/// One request a connection; `POST /login` wants the pass phrase in its body.
fn web_visit(mut stream: TcpStream, peer: SocketAddr, log: &Log) -> Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    let mut reader = BufReader::new((&stream).take(64 << 10));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut length = 0usize;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? <= 2 {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length.min(4_096)];
    reader.read_exact(&mut body)?;
    let request = request.trim_end();
    let login = request.starts_with("POST /login ");
    let allowed = !login || body == PASS.as_bytes();
    let (status, answer) = if allowed {
        ("200 OK", "ok\n")
    } else {
        ("401 Unauthorized", "no\n")
    };
    let stamp = Zoned::now()
        .with_time_zone(TimeZone::UTC)
        .strftime("%d/%b/%Y:%H:%M:%S +0000")
        .to_string();
    let line = format!(
        "{} - - [{stamp}] \"{request}\" {} {} \"-\" \"drill/1.0\"\n",
        peer.ip().to_canonical(),
        &status[..3],
        answer.len(),
    );
    write_line(log, &line, peer)?;
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
        answer.len()
    );
    stream.write_all(head.as_bytes())?;
    Ok(())
}

/// One write per line, as syslog daemons and web servers do, and the moment it was done.
fn write_line(log: &Log, line: &str, peer: SocketAddr) -> Result<()> {
    let mut file = log
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let at = clock::now();
    file.write_all(line.as_bytes())?;
    say_at(
        at,
        &Step::Line {
            peer: peer.ip().to_canonical(),
        },
    );
    Ok(())
}
