//! Logging in to a mail server, and what is made of its answers.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    thread,
};

use notify::{AlertsConfig, try_channels};

/// Speaks just enough SMTP: offers `mechanism`, takes the login `posse`/`s3cret`, and answers to
/// the end of the data with `verdict`. Gives the lines of the client.
fn server(
    mechanism: &'static str,
    verdict: &'static str,
) -> (u16, thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = thread::spawn(move || converse(listener.accept().unwrap().0, mechanism, verdict));
    (port, thread)
}

fn converse(stream: TcpStream, mechanism: &str, verdict: &str) -> Vec<String> {
    let mut said = Vec::new();
    let mut reply = &stream;
    reply.write_all(b"220 mail.example.net\r\n").unwrap();
    let mut data = false;
    for line in BufReader::new(&stream).lines() {
        let Ok(line) = line else { break };
        said.push(line.clone());
        let answer = match line.split([' ', ':']).next().unwrap_or_default() {
            "." if data => {
                data = false;
                format!("{verdict}\r\n")
            }
            _ if data => continue,
            "EHLO" => format!("250-mail.example.net\r\n250 AUTH {mechanism}\r\n"),
            // base64 of NUL posse NUL s3cret (RFC 4616).
            "AUTH" if line == "AUTH PLAIN AHBvc3NlAHMzY3JldA==" => "235 ok\r\n".into(),
            "AUTH" if line == "AUTH LOGIN" => "334 VXNlcm5hbWU6\r\n".into(),
            "cG9zc2U=" => "334 UGFzc3dvcmQ6\r\n".into(),
            "czNjcmV0" => "235 ok\r\n".into(),
            "MAIL" | "RCPT" => "250 ok\r\n".into(),
            "DATA" => {
                data = true;
                "354 go\r\n".into()
            }
            "QUIT" => "221 bye\r\n".into(),
            _ => "535 no\r\n".into(),
        };
        if reply.write_all(answer.as_bytes()).is_err() {
            break;
        }
    }
    said
}

fn try_mail(port: u16) -> Result<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    fs::write(&password, "s3cret\n").unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let config = format!(
        "[[channel]]\nkind = \"email\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\n\
         user = \"posse\"\npassword_file = {password:?}\nfrom = \"posse@example.net\"\n\
         to = [\"admin@example.net\"]\n"
    );
    let plan = toml::from_str::<AlertsConfig>(&config)
        .unwrap()
        .plan()
        .unwrap();
    try_channels(&plan).remove(0).answer
}

#[test]
fn it_logs_in_either_way() {
    for mechanism in ["PLAIN", "LOGIN"] {
        let (port, server) = server(mechanism, "250 2.0.0 queued as 42");
        assert_eq!(
            try_mail(port).unwrap(),
            "250 2.0.0 queued as 42",
            "{mechanism}"
        );
        let said = server.join().unwrap();
        assert!(
            said.contains(&"RCPT TO:<admin@example.net>".to_owned()),
            "{said:?}"
        );
        assert!(
            said.iter().any(|l| l.starts_with("Subject: [posse ")),
            "{said:?}"
        );
    }
}

#[test]
fn a_refusal_is_told_in_the_servers_words() {
    let (port, server) = server("PLAIN", "554 5.7.1 not here");
    let error = try_mail(port).unwrap_err();
    assert!(
        error.contains("554") && error.contains("5.7.1 not here"),
        "{error}"
    );
    assert!(!error.contains("s3cret"));
    server.join().unwrap();
}
