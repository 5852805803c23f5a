use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use enforce::Firewall;

use crate::bench_net::{Peer, add, firewall, in_namespace, passes, remove, udp};

#[test]
fn a_ban_cuts_both_directions_and_nobody_else() {
    in_namespace(
        "traffic::a_ban_cuts_both_directions_and_nobody_else",
        || {
            let peer = Peer::connect(&["10.9.0.2", "10.9.0.3"]);
            let (us, bad, good) = (udp("10.9.0.1"), peer.udp("10.9.0.2"), peer.udp("10.9.0.3"));
            let mut firewall = firewall();
            assert!(
                passes(&bad, &us) && passes(&us, &bad) && passes(&good, &us) && passes(&us, &good)
            );
            firewall.apply(&[add("10.9.0.2")]).unwrap();
            assert!(!passes(&bad, &us) && !passes(&us, &bad));
            assert!(passes(&good, &us) && passes(&us, &good));
            let counters = firewall.counters().unwrap();
            assert_eq!(
                (counters.from_ipv4.packets, counters.to_ipv4.packets),
                (1, 1)
            );
            // IP header 20, UDP header 8, "knock" 5.
            assert_eq!(
                (counters.from_ipv4.bytes, counters.from_ipv6.packets),
                (33, 0)
            );
            firewall.apply(&[remove("10.9.0.2")]).unwrap();
            assert!(passes(&bad, &us) && passes(&us, &bad));
        },
    );
}

#[test]
fn networks_of_every_kind_cut() {
    in_namespace("traffic::networks_of_every_kind_cut", || {
        let peer = Peer::connect(&[
            "10.9.7.2",
            "10.9.8.2",
            "fd00:9:1:2::5",
            "fd00:9:1:3::5",
            "fd00:9:4::5",
        ]);
        let us = (udp("10.9.0.1"), udp("fd00:9::1"));
        let mut firewall = firewall();
        for (ban, inside, outside) in [
            ("10.9.7.0/24", "10.9.7.2", "10.9.8.2"),
            ("10.9.8.0/31", "10.9.7.2", "10.9.7.2"),
            ("fd00:9:1:2::/64", "fd00:9:1:2::5", "fd00:9:1:3::5"),
            ("fd00:9:1:3::5", "fd00:9:1:3::5", "fd00:9:1:2::5"),
            ("fd00:9:4::/48", "fd00:9:4::5", "fd00:9:1:2::5"),
        ] {
            let own = if ban.contains(':') { &us.1 } else { &us.0 };
            let (inside, outside) = (peer.udp(inside), peer.udp(outside));
            assert!(
                passes(&inside, own) && passes(&outside, own),
                "before {ban}"
            );
            firewall.apply(&[add(ban)]).unwrap();
            if ban != "10.9.8.0/31" {
                assert!(!passes(&inside, own) && !passes(own, &inside), "{ban}");
            }
            assert!(passes(&outside, own) && passes(own, &outside), "{ban}");
            firewall.apply(&[remove(ban)]).unwrap();
            assert!(passes(&inside, own), "after {ban}");
        }
    });
}

#[test]
fn a_standing_connection_dies() {
    in_namespace("traffic::a_standing_connection_dies", || {
        let peer = Peer::connect(&["10.9.0.2"]);
        let listener = TcpListener::bind("10.9.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut theirs = peer.inside(move || TcpStream::connect(address).unwrap());
        let mut ours = listener.accept().unwrap().0;
        for stream in [&theirs, &ours] {
            stream
                .set_read_timeout(Some(Duration::from_millis(300)))
                .unwrap();
        }
        let mut firewall = firewall();
        assert!(talks(&mut theirs, &mut ours) && talks(&mut ours, &mut theirs));
        firewall.apply(&[add("10.9.0.2")]).unwrap();
        assert!(!talks(&mut theirs, &mut ours) && !talks(&mut ours, &mut theirs));
        let again =
            peer.inside(move || TcpStream::connect_timeout(&address, Duration::from_millis(300)));
        assert!(again.is_err());
    });
}

#[test]
fn a_ban_holds_while_its_table_is_rebuilt_and_updated() {
    in_namespace(
        "traffic::a_ban_holds_while_its_table_is_rebuilt_and_updated",
        || {
            let peer = Peer::connect(&["10.9.0.2"]);
            let (us, bad) = (udp("10.9.0.1"), peer.udp("10.9.0.2"));
            let mut firewall = firewall();
            firewall.apply(&[add("10.9.0.2")]).unwrap();
            let target = us.local_addr().unwrap();
            let stop = Arc::new(AtomicBool::new(false));
            let stopped = Arc::clone(&stop);
            let flood = std::thread::spawn(move || {
                let mut sent = 0_u64;
                while !stopped.load(Ordering::Relaxed) {
                    sent += u64::from(bad.send_to(b"knock", target).is_ok());
                }
                sent
            });
            let prefix = "10.9.0.2".parse().unwrap();
            for round in 0..200 {
                let timeout = Some(Duration::from_secs(3_600 + round));
                firewall
                    .apply(&[enforce::KernelChange::Update { prefix, timeout }])
                    .unwrap();
                if round % 20 == 0 {
                    // Another priority is another layout, so the table is built anew.
                    let priority = -310 - i32::try_from(round).unwrap() % 3;
                    let options = enforce::FirewallOptions {
                        priority,
                        ..Default::default()
                    };
                    firewall = Firewall::open(options).unwrap();
                }
            }
            stop.store(true, Ordering::Relaxed);
            assert!(flood.join().unwrap() > 100);
            assert!(
                us.recv_from(&mut [0; 16]).is_err(),
                "a packet slipped through"
            );
        },
    );
}

fn talks(from: &mut TcpStream, to: &mut TcpStream) -> bool {
    let mut buffer = [0; 5];
    from.write_all(b"hello").unwrap();
    to.read_exact(&mut buffer).is_ok()
}
