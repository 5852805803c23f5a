use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use super::*;

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap())
}

/// NTP's count of a time in this era.
fn ntp(time: Timestamp) -> [u8; 8] {
    let seconds = u64::try_from(time.seconds() + 2_208_988_800).unwrap();
    let nanos = u64::try_from(time.nanos().rem_euclid(1_000_000_000)).unwrap();
    ((seconds << 32) | ((nanos << 32) / 1_000_000_000)).to_be_bytes()
}

fn reply(question: &[u8], ahead: Duration) -> [u8; 48] {
    let mut packet = [0; 48];
    packet[0] = 0x24;
    packet[1] = 1;
    packet[12..16].copy_from_slice(b"GPS\0");
    packet[24..32].copy_from_slice(&question[40..48]);
    let time = ntp(now().plus(ahead));
    packet[32..40].copy_from_slice(&time);
    packet[40..48].copy_from_slice(&time);
    packet
}

/// A server on loopback; what it says to each question is the caller's.
fn serve(say: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> (TimeServer, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = socket.local_addr().unwrap().to_string().parse().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((bytes, from)) = socket.recv_from(&mut buffer) {
            count.fetch_add(1, Ordering::SeqCst);
            for packet in say(&buffer[..bytes]) {
                let _ = socket.send_to(&packet, from);
            }
        }
    });
    (server, asked)
}

fn ahead(seconds: u64) -> (TimeServer, Arc<AtomicUsize>) {
    serve(move |question| vec![reply(question, Duration::from_secs(seconds)).to_vec()])
}

fn servers(all: Vec<TimeServer>, dir: &tempfile::TempDir) -> TimeServers {
    TimeServers::new(all, dir.path().join("time.json"), now)
}

#[test]
fn the_median_of_three_is_told_and_one_liar_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let all = [7, 7, 900].map(|seconds| ahead(seconds).0).to_vec();
    let said = servers(all, &dir).tell(now()).unwrap();
    let offset = said.offset_microseconds.unwrap();
    assert!((6_500_000..7_500_000).contains(&offset), "{said:?}");
    assert_eq!(said.servers.len(), 3);
    let first = said.servers[0].answer.as_ref().unwrap();
    assert_eq!((first.stratum, first.reference.as_str()), (1, "GPS"));
    assert!(said.corrected.is_some());
}

#[test]
fn many_acquisitions_are_one_question_until_the_clock_is_set() {
    let dir = tempfile::tempdir().unwrap();
    let (server, asked) = ahead(7);
    let told = servers(vec![server], &dir);
    let first = told.tell(now()).unwrap();
    let second = told.tell(now()).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(first.asked, second.asked);
    assert!(second.age_milliseconds >= first.age_milliseconds);
    // A clock that was set in between must be asked about again.
    told.tell(now().plus(Duration::from_secs(5))).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    // So must other servers.
    let (other, asked_other) = ahead(7);
    servers(vec![other], &dir).tell(now()).unwrap();
    assert_eq!(asked_other.load(Ordering::SeqCst), 1);
}

#[test]
fn strangers_words_do_not_count_and_do_not_end_the_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (server, _) = serve(|question| {
        let mut forged = reply(question, Duration::from_secs(3_600));
        forged[24] ^= 1;
        let honest = reply(question, Duration::from_secs(7));
        vec![b"?".to_vec(), forged.to_vec(), honest.to_vec()]
    });
    let said = servers(vec![server], &dir).tell(now()).unwrap();
    let offset = said.offset_microseconds.unwrap();
    assert!((6_500_000..7_500_000).contains(&offset), "{said:?}");
}

#[test]
fn silence_and_refusals_are_told_within_a_second_and_a_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (silent, _) = serve(|_| Vec::new());
    let (dying, _) = serve(|question| {
        let mut packet = reply(question, Duration::ZERO);
        packet[1] = 0;
        packet[12..16].copy_from_slice(b"DENY");
        vec![packet.to_vec()]
    });
    let nobody = "nobody.invalid".parse().unwrap();
    let began = Instant::now();
    let said = servers(vec![silent, dying, nobody], &dir)
        .tell(now())
        .unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{said:?}");
    assert_eq!(said.offset_microseconds, None);
    assert_eq!(said.corrected, None);
    let why: Vec<&str> = said.servers.iter().map(|s| s.failure.as_str()).collect();
    assert!(why[0].contains("no answer within 1 s"), "{why:?}");
    assert!(why[1].contains("DENY"), "{why:?}");
    assert!(why[2].contains("name"), "{why:?}");
}

#[test]
fn without_servers_nothing_is_asked_or_kept() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(servers(Vec::new(), &dir).tell(now()), None);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn servers_are_written_as_names_or_addresses() {
    let of = |text: &str| {
        let server: TimeServer = text.parse().unwrap();
        (server.host, server.port)
    };
    assert_eq!(of("ntp.example.org"), ("ntp.example.org".into(), 123));
    assert_eq!(of("192.0.2.1:1123"), ("192.0.2.1".into(), 1123));
    assert_eq!(of("2001:db8::1"), ("2001:db8::1".into(), 123));
    assert_eq!(of("[2001:db8::1]:1123"), ("2001:db8::1".into(), 1123));
    for bad in ["", "a b", "a:0", "a:b", "[::1", "https://a/"] {
        assert!(bad.parse::<TimeServer>().is_err(), "{bad}");
    }
}
