//! How long 100,000 static records take from text to checked records. `cargo bench --bench zone_load`.

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rhumb::state::zones::{check_zones, read_zone_text};

const RECORDS: usize = 100_000;

/// A zone like a hosting company's: mostly addresses, and some of all else.
fn zone() -> String {
    let mut text = String::from(
        "$TTL 1h\n@ SOA ns1 hostmaster 1 2h 15m 14d 5m\n@ NS ns1\nns1 A 192.0.2.53\n*.wild A 192.0.2.1\n",
    );
    for i in 0..RECORDS / 10 {
        let (a, b) = (i / 256 % 256, i % 256);
        text += &format!(
            "host{i} A 10.{a}.{b}.1\n A 10.{a}.{b}.2\n AAAA 2001:db8:{i:x}::1\n MX 10 mail{i}\n \
             TXT \"v=spf1 ip4:10.{a}.{b}.0/24 -all\"\nmail{i} 300 IN A 10.{a}.{b}.25\nwww.host{i} CNAME host{i}\n\
             _xmpp._tcp.host{i} SRV 5 0 5222 host{i}\nsub{i} NS ns1.sub{i}\nns1.sub{i} A 10.{a}.{b}.53\n"
        );
    }
    text
}

fn zone_load(c: &mut Criterion) {
    let text = zone();
    let dir = Path::new("/nonexistent");
    let file = dir.join("example.com.zone");
    let mut group = c.benchmark_group("zone_load");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(5))
        .throughput(Throughput::Elements(RECORDS as u64));
    group.bench_function("read", |b| {
        b.iter(|| read_zone_text(black_box(text.as_bytes()), &file, dir, &mut Vec::new()))
    });
    let mut problems = Vec::new();
    let zones = [read_zone_text(text.as_bytes(), &file, dir, &mut problems)];
    assert_eq!(zones[0].records.len(), RECORDS + 4);
    group.bench_function("check", |b| b.iter(|| check_zones(black_box(&zones), &|_| false, &mut problems)));
    group.finish();
    assert_eq!(problems, []);
}

criterion_group!(benches, zone_load);
criterion_main!(benches);
