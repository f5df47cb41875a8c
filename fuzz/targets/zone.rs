//! Any zone text: it is read or told, and what is read can be served.

#![no_main]

use std::path::Path;

use hickory_proto::rr::{RData, RecordType};
use hickory_proto::serialize::binary::{BinDecoder, Restrict};
use libfuzzer_sys::fuzz_target;
use rhumb::engine::Zones;
use rhumb::engine::zones::{Found, StaticRecord, StaticZone};
use rhumb::files::Severity;
use rhumb::state::zones::{check_zones, read_zone_text};
use rhumb::wire::{Name, Qname};

fuzz_target!(|text: &[u8]| {
    // Nothing is there to include.
    let folder = Path::new("/nonexistent");
    let mut problems = Vec::new();
    let zone = read_zone_text(text, &folder.join("example.com.zone"), folder, &mut problems);
    let zones = [zone];
    check_zones(&zones, &|_: &Name| false, &mut problems);
    assert!(problems.iter().all(|problem| !problem.message.is_empty()));
    let [zone] = zones;
    for record in &zone.records {
        let data = Restrict::new(record.rdata.len() as u16);
        let mut decoder = BinDecoder::new(&record.rdata);
        let read = RData::read(&mut decoder, RecordType::from(record.record_type), data);
        assert!(read.is_ok(), "{}: {read:?} of {:02x?}", record.label(), record.rdata);
    }
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return;
    }
    let records = zone.records.iter().map(|record| StaticRecord {
        owner: &record.owner,
        record_type: record.record_type,
        ttl: record.ttl,
        rdata: &record.rdata,
    });
    let served = Zones::build(vec![StaticZone { apex: &zone.origin, records: records.collect() }]);
    for record in &zone.records {
        let found = served.find(&Qname::from(&record.owner), false);
        assert!(matches!(found, Found::Name(_) | Found::Delegated(_)), "{}", record.label());
    }
});
