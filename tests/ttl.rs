//! A verdict in doubt shortens the TTL of a serving node, before it is one.

mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use support::Folder;
use support::process::{PATIENCE, Server};

/// The TTL and the address that a query is answered with.
fn answer(server: &Server) -> (u32, String) {
    let reply = server.ask("two.example.com A");
    let words: Vec<&str> = reply.lines().last().unwrap().split_whitespace().collect();
    (words[1].parse().unwrap(), words[3].into())
}

#[test]
fn the_ttl_shrinks_while_an_address_fails() {
    let folder = Folder::example();
    let first = TcpListener::bind("127.0.0.4:0").unwrap();
    let port = first.local_addr().unwrap().port();
    let _second = TcpListener::bind(("127.0.0.5", port)).unwrap();
    folder.write(
        "filter-chains/two.toml",
        format!(
            "[pool.two]\nanswer = [{{ name = 'one', a = '127.0.0.4' }}, {{ name = 'two', a = '127.0.0.5' }}]\n\
             [[record]]\nname = 'two.example.com'\npool = 'two'\nttl = {{ max = 60, min = 1 }}\n\
             filters = ['up', 'select_first_n']\n\
             [monitor.two]\nkind = 'tcp'\nport = {port}\ntarget = {{ pool = 'two' }}\n\
             interval = '1s'\nfall = 6\nrise = 1\n[health]\nmajority = 1.0\n"
        ),
    );
    let server = Server::start(&folder);
    assert_eq!(answer(&server), (60, "127.0.0.4".into()));
    drop(first);
    let begun = Instant::now();
    let mut seen = Vec::new();
    loop {
        let (ttl, address) = answer(&server);
        if address == "127.0.0.5" {
            assert_eq!(ttl, 60, "nothing is near any more");
            break;
        }
        if seen.last() != Some(&ttl) {
            seen.push(ttl);
        }
        assert!(begun.elapsed() < PATIENCE, "{seen:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    // From 60 at once to what is missing, and down from there.
    assert_eq!(seen[0], 60);
    assert!(seen.len() >= 4 && seen[1] <= 5, "{seen:?}");
    assert!(seen[1..].windows(2).all(|pair| pair[1] < pair[0]), "{seen:?}");
}
