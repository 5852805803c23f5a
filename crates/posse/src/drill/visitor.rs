//! The drill's visitors: attackers who guess passwords until nothing answers any more, and a
//! client who works as usual all the while. Each runs in a namespace of its own.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::clock;

use super::{
    report::{Step, say},
    service::{HTTP_PORT, PASS, SSH_PORT},
};

/// How long an unanswered connection is waited for before it counts as cut off.
const PATIENCE: Duration = Duration::from_millis(700);
const ATTEMPTS_MAX: usize = 200;
const PAUSE: Duration = Duration::from_millis(40);
const CLIENT_FOR: Duration = Duration::from_secs(60);

/// Guesses passwords at `target` until cut off. IPv4 attacks the SSH-style service with several
/// guesses a connection, IPv6 the web log-in; both hold a connection open from the start to learn
/// whether open connections die too.
pub(super) fn attack(target: IpAddr) -> Result<()> {
    let port = if target.is_ipv4() {
        SSH_PORT
    } else {
        HTTP_PORT
    };
    let address = SocketAddr::new(target, port);
    let held = open_shell(SocketAddr::new(target, SSH_PORT))?;
    say(&Step::FirstPacket);
    for attempt in 0..ATTEMPTS_MAX {
        let sent = clock::now();
        let answered = if target.is_ipv4() {
            shell_login(address, "admin", &format!("guess{attempt}")).map(|_| ())
        } else {
            web_login(address, &format!("guess{attempt}")).map(|_| ())
        };
        match answered {
            Ok(_) => say(&Step::Attempt { number: attempt }),
            Err(_) => {
                say(&Step::CutOff {
                    number: attempt,
                    sent,
                });
                say(&Step::Held {
                    alive: still_answers(held),
                });
                return Ok(());
            }
        }
        thread::sleep(PAUSE);
    }
    say(&Step::NeverCutOff);
    Ok(())
}

/// Logs in and reads pages as customers do, until the drill ends it.
pub(super) fn work(target: IpAddr) -> Result<()> {
    let end = Instant::now() + CLIENT_FOR;
    while Instant::now() < end {
        let shell = shell_login(SocketAddr::new(target, SSH_PORT), "backup", PASS);
        let page = web_get(SocketAddr::new(target, HTTP_PORT));
        say(&Step::Served {
            ok: matches!(shell, Ok(true)) && page.is_ok(),
        });
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn open_shell(address: SocketAddr) -> Result<BufReader<TcpStream>> {
    let stream = connect(address).with_context(|| format!("no service at {address}"))?;
    let mut reader = BufReader::new(stream);
    let mut banner = String::new();
    reader.read_line(&mut banner)?;
    ensure!(
        banner.starts_with("SSH-2.0-"),
        "not the drill's service: {banner:?}"
    );
    reader.get_mut().write_all(b"SSH-2.0-drill\r\n")?;
    Ok(reader)
}

fn shell_login(address: SocketAddr, user: &str, password: &str) -> Result<bool> {
    let mut shell = open_shell(address)?;
    shell
        .get_mut()
        .write_all(format!("{user} {password}\n").as_bytes())?;
    let mut answer = String::new();
    shell.read_line(&mut answer)?;
    ensure!(!answer.is_empty(), "hung up");
    Ok(answer == "welcome\n")
}

fn still_answers(mut held: BufReader<TcpStream>) -> bool {
    let mut answer = String::new();
    held.get_mut().write_all(b"admin last-try\n").is_ok()
        && held.read_line(&mut answer).is_ok_and(|n| n > 0)
}

fn web_login(address: SocketAddr, password: &str) -> Result<String> {
    let body = format!(
        "POST /login HTTP/1.1\r\nHost: victim\r\nContent-Length: {}\r\n\r\n{password}",
        password.len()
    );
    web(address, &body)
}

fn web_get(address: SocketAddr) -> Result<String> {
    web(address, "GET / HTTP/1.1\r\nHost: victim\r\n\r\n")
}

fn web(address: SocketAddr, request: &str) -> Result<String> {
    let mut stream = connect(address)?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(64 << 10).read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 "), "no answer");
    Ok(answer)
}
