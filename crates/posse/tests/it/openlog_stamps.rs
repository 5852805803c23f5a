//! Time stamps: an authority of OpenSSL's on a loopback port, and OpenSSL as the judge.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::Mutex,
};

use crate::support::{Guard, Site, posse, stderr, stdout, wait_until};

const CONFIG: &str = "[tsa]\ndefault_tsa = t\n[t]\nserial = ./serial\nsigner_digest = sha256\n\
    default_policy = 1.3.6.1.4.1.99999.1\ndigests = sha256\naccuracy = secs:1\nordering = no\n\
    tsa_name = yes\ness_cert_id_chain = no\ness_cert_id_alg = sha256\n";

pub(crate) fn openssl(dir: &Path, words: &[&str]) -> bool {
    let output = Command::new("openssl")
        .args(words)
        .current_dir(dir)
        .output();
    output.is_ok_and(|output| output.status.success())
}

/// Makes an authority in `dir` and serves it; the port, or `None` without openssl.
pub(crate) fn authority(dir: &Path) -> Option<u16> {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("SKIPPED: no openssl");
        return None;
    }
    fs::write(dir.join("tsa.cnf"), CONFIG).unwrap();
    fs::write(dir.join("serial"), "01\n").unwrap();
    let extensions = "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n\
                      extendedKeyUsage=critical,timeStamping\n";
    fs::write(dir.join("ext"), extensions).unwrap();
    for words in [
        "req -x509 -new -nodes -newkey rsa:2048 -days 30 -subj /CN=Test-Root -keyout ca.key -out ca.pem",
        "req -new -nodes -newkey rsa:2048 -subj /CN=Test-Authority -keyout tsa.key -out tsa.csr",
        "x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -set_serial 7 -days 30 -extfile ext -out tsa.pem",
    ] {
        assert!(
            openssl(dir, &words.split(' ').collect::<Vec<_>>()),
            "{words}"
        );
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let dir = dir.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, &dir);
        }
    });
    Some(port)
}

/// One question a connection.
fn answer(mut stream: TcpStream, dir: &Path) {
    static ONE: Mutex<()> = Mutex::new(());
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    let body = loop {
        let Ok(count) = stream.read(&mut piece) else {
            return;
        };
        if count == 0 {
            return;
        }
        bytes.extend_from_slice(&piece[..count]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        assert!(
            head.contains("content-type: application/timestamp-query"),
            "{head}"
        );
        let length = head
            .lines()
            .find_map(|l| l.strip_prefix("content-length: "))
            .unwrap();
        if bytes.len() >= end + 4 + length.trim().parse::<usize>().unwrap() {
            break bytes.split_off(end + 4);
        }
    };
    let answer = {
        let _one = ONE.lock().unwrap();
        fs::write(dir.join("q.tsq"), body).unwrap();
        let words =
            "ts -reply -config tsa.cnf -queryfile q.tsq -signer tsa.pem -inkey tsa.key -out r.tsr";
        assert!(openssl(dir, &words.split(' ').collect::<Vec<_>>()));
        fs::read(dir.join("r.tsr")).unwrap()
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/timestamp-reply\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        answer.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&answer).unwrap();
}

fn config(dir: &Path, port: u16) -> String {
    format!(
        "[ledger]\nstamp_every = \"60s\"\nstamp_authorities = [{{ name = \"test\", \
         url = \"http://127.0.0.1:{port}/tsr\", ca = {:?} }}]\n[console]\nenabled = false\n",
        dir.join("ca.pem")
    )
}

fn verify(site: &Site) -> serde_json::Value {
    let output = site.ask(&["ledger", "verify", "--json"]);
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[test]
fn a_guard_has_its_checkpoints_stamped_and_openssl_takes_the_tokens() {
    let site = Site::new();
    let tsa = tempfile::tempdir().unwrap();
    let Some(port) = authority(tsa.path()) else {
        return;
    };
    site.configure(&config(tsa.path(), port));
    let mut guard = Guard::start(&site, None, &["--observe"]);
    wait_until("the first stamp is kept", || verify(&site)["stamps"] == 1);
    // Beside the running guard.
    let path = site.config().display().to_string();
    let output = site.ask(&["ledger", "stamp", "--config", &path]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("stamped by test at "),
        "{}",
        stdout(&output)
    );
    assert!(guard.stop().success());
    let report = verify(&site);
    assert_eq!(
        (&report["ok"], &report["stamps"]),
        (&true.into(), &2.into()),
        "{report}"
    );
    let export = site.path("export");
    let output = site.ask(&["ledger", "export", &export.display().to_string()]);
    assert!(output.status.success(), "{}", stderr(&output));
    for number in ["00001", "00002"] {
        let stamps = export.join("stamps");
        let (data, token, ca) = (
            format!("{number}.checkpoint"),
            format!("{number}.tsr"),
            format!("{number}.ca.pem"),
        );
        let words = [
            "ts", "-verify", "-data", &data, "-in", &token, "-CAfile", &ca,
        ];
        assert!(openssl(&stamps, &words), "{number}");
        let other = ["ts", "-verify", "-data", &ca, "-in", &token, "-CAfile", &ca];
        assert!(!openssl(&stamps, &other), "a stamp of anything");
    }
    changed_stamps_are_named(&site);
}

fn changed_stamps_are_named(site: &Site) {
    let database = site.state().join("ledger.db");
    let db = rusqlite::Connection::open(&database).unwrap();
    let whole: Vec<u8> = db
        .query_row("SELECT tsr FROM stamp WHERE id = 1", [], |row| row.get(0))
        .unwrap();
    for at in [whole.len() / 3, whole.len() / 2, whole.len() - 3] {
        let mut bad = whole.clone();
        bad[at] ^= 1;
        db.execute("UPDATE stamp SET tsr = ?1 WHERE id = 1", [bad])
            .unwrap();
        let report = verify(site);
        assert!(
            report["what"]
                .as_str()
                .unwrap()
                .starts_with("time stamp of"),
            "{report}"
        );
    }
    db.execute("UPDATE stamp SET tsr = ?1 WHERE id = 1", [whole])
        .unwrap();
    assert_eq!(verify(site)["ok"], true);
    // One checkpoint's token beside another's checkpoint.
    db.execute(
        "UPDATE stamp SET tsr = (SELECT tsr FROM stamp WHERE id = 1) WHERE id = 2",
        [],
    )
    .unwrap();
    let report = verify(site);
    let same = db
        .query_row("SELECT count(DISTINCT checkpoint) FROM stamp", [], |row| {
            row.get::<_, i64>(0)
        })
        .unwrap();
    assert!(same == 1 || report["ok"] == false, "{report}");
}

#[test]
fn an_authority_that_is_not_there_is_told_of_once_and_none_is_made_up() {
    let site = Site::new();
    let tsa = tempfile::tempdir().unwrap();
    if authority(tsa.path()).is_none() {
        return;
    }
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    site.configure(&config(tsa.path(), closed));
    let guard = Guard::start(&site, None, &["--observe"]);
    wait_until("it is told of", || {
        guard.said().contains("no time stamp by test")
    });
    assert_eq!(verify(&site)["stamps"], 0);
    let path = site.config().display().to_string();
    let state = site.state().display().to_string();
    let output = posse(&["ledger", "stamp", "--config", &path, "--state", &state]);
    assert!(!output.status.success());
    assert!(
        stdout(&output).contains("NOT stamped by test"),
        "{}",
        stdout(&output)
    );
}
