//! Against `openssl ts`, which shares no code with us, as authority and as judge.

use std::{fs, path::Path, process::Command};

use super::*;

pub(crate) const CONFIG: &str = "[tsa]\ndefault_tsa = t\n[t]\nserial = ./serial\n\
    signer_digest = sha256\ndefault_policy = 1.3.6.1.4.1.99999.1\ndigests = sha256, sha384\n\
    accuracy = secs:1, millisecs:500\nordering = no\ntsa_name = yes\n\
    ess_cert_id_chain = no\ness_cert_id_alg = sha256\nclock_precision_digits = 3\n";

fn openssl(dir: &Path, words: &[&str]) -> bool {
    let output = Command::new("openssl")
        .args(words)
        .current_dir(dir)
        .output()
        .unwrap();
    if !output.status.success() {
        println!("{}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}

/// An authority with a root of its own; `false`: there is no openssl here.
fn authority(dir: &Path, key: &[&str]) -> bool {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("SKIPPED: no openssl");
        return false;
    }
    fs::write(dir.join("tsa.cnf"), CONFIG).unwrap();
    fs::write(dir.join("serial"), "01\n").unwrap();
    fs::write(
        dir.join("ext"),
        "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\n\
         extendedKeyUsage=critical,timeStamping\n",
    )
    .unwrap();
    let new = |name: &str, subject: &str, extra: &[&str]| {
        let (out, pem) = (format!("{name}.key"), format!("{name}.pem"));
        let mut words = vec![
            "req", "-new", "-nodes", "-subj", subject, "-keyout", &out, "-out", &pem,
        ];
        words.extend(key);
        words.extend(extra);
        assert!(openssl(dir, &words));
    };
    new(
        "ca",
        "/CN=Test Root",
        &[
            "-x509",
            "-days",
            "30",
            "-addext",
            "keyUsage=critical,keyCertSign",
        ],
    );
    new("tsa", "/CN=Test Authority", &[]);
    fs::rename(dir.join("tsa.pem"), dir.join("tsa.csr")).unwrap();
    openssl(
        dir,
        &[
            "x509",
            "-req",
            "-in",
            "tsa.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-set_serial",
            "7",
            "-days",
            "30",
            "-extfile",
            "ext",
            "-out",
            "tsa.pem",
        ],
    )
}

fn answer(dir: &Path, request: &[u8]) -> Vec<u8> {
    fs::write(dir.join("q.tsq"), request).unwrap();
    assert!(openssl(
        dir,
        &[
            "ts",
            "-reply",
            "-config",
            "tsa.cnf",
            "-queryfile",
            "q.tsq",
            "-signer",
            "tsa.pem",
            "-inkey",
            "tsa.key",
            "-out",
            "r.tsr"
        ],
    ));
    fs::read(dir.join("r.tsr")).unwrap()
}

fn check(key: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    if !authority(dir, key) {
        return;
    }
    let data = b"log.example\n7\nroot\n\nsignature\n";
    let (imprint, random) = (Imprint::of(data), [0xff; 8]);
    let asked = request(imprint, random).unwrap();
    let answer = answer(dir, &asked);
    fs::write(dir.join("data"), data).unwrap();
    assert!(openssl(
        dir,
        &[
            "ts", "-verify", "-data", "data", "-in", "r.tsr", "-CAfile", "ca.pem"
        ]
    ));
    assert!(openssl(
        dir,
        &[
            "ts",
            "-verify",
            "-queryfile",
            "q.tsq",
            "-in",
            "r.tsr",
            "-CAfile",
            "ca.pem"
        ]
    ));
    let own = roots(&fs::read_to_string(dir.join("ca.pem")).unwrap()).unwrap();
    let token = checked(&answer, imprint, Some(random), &own).unwrap();
    assert!(token.vouched);
    assert_eq!(token.serial, "02");
    let unvouched = checked(&answer, imprint, None, &[]).unwrap();
    assert_eq!((unvouched.at, unvouched.vouched), (token.at, false));
    assert_eq!(
        checked(&answer, Imprint::of(b"other"), Some(random), &own),
        Err(StampError::OtherData)
    );
    assert_eq!(
        checked(&answer, imprint, Some([1; 8]), &own),
        Err(StampError::OtherNonce)
    );
    // A root that did not sign it, and one that may not stamp.
    let other = tempfile::tempdir().unwrap();
    assert!(authority(other.path(), key));
    let others = roots(&fs::read_to_string(other.path().join("ca.pem")).unwrap()).unwrap();
    assert!(matches!(
        checked(&answer, imprint, Some(random), &others),
        Err(StampError::Chain { .. })
    ));
    // Every byte counts: of the stamp, the attributes, the certificates, the signature. (The
    // version numbers and algorithm fields that nothing hangs on are few.)
    let mut taken = 0;
    for at in 0..answer.len() {
        let mut bad = answer.clone();
        bad[at] ^= 0x01;
        if checked(&bad, imprint, Some(random), &own).is_ok() {
            taken += 1;
        }
        if at % 7 == 0 {
            let _ = checked(&answer[..at], imprint, Some(random), &own).unwrap_err();
        }
    }
    assert!(
        taken < 40,
        "{taken} of {} changed bytes went unnoticed",
        answer.len()
    );
}

#[test]
fn an_rsa_authority() {
    check(&["-newkey", "rsa:2048"]);
}

#[test]
fn an_ecdsa_authority() {
    check(&["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
}

#[test]
fn a_refusal_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    if !authority(
        dir,
        &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
    ) {
        return;
    }
    let config = CONFIG.replace("sha256, sha384", "sha384");
    fs::write(dir.join("tsa.cnf"), config).unwrap();
    let imprint = Imprint::of(b"x");
    let refusal = answer(dir, &request(imprint, [1; 8]).unwrap());
    assert!(matches!(
        checked(&refusal, imprint, Some([1; 8]), &[]),
        Err(StampError::Refused { status: 2, .. })
    ));
}

#[test]
fn times_may_have_fractions() {
    let at = |text: &str| time(&Any::new(Tag::GeneralizedTime, text.as_bytes()).unwrap());
    assert_eq!(
        at("20261122093000Z").unwrap().to_string(),
        "2026-11-22T09:30:00Z"
    );
    assert_eq!(
        at("20261122093000.25Z").unwrap().to_string(),
        "2026-11-22T09:30:00.25Z"
    );
    for bad in [
        "20261122093000",
        "20261122093000.Z",
        "2026112209300Z",
        "20261322093000Z",
        "20261122093000+0100",
        "é0261122093000Z",
        "",
    ] {
        assert!(at(bad).is_err(), "{bad}");
    }
}
