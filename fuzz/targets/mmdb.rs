//! Any bytes as a geo database: they are refused, or looked up and folded.

#![no_main]

use std::cell::OnceCell;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use rhumb::geo::{Database, Questions, World};

thread_local! {
    static FILE: OnceCell<PathBuf> = const { OnceCell::new() };
}

fuzz_target!(|bytes: &[u8]| {
    let addresses =
        ["0.0.0.0", "81.2.69.160", "255.255.255.255", "::", "2a00::1", "2002:5102:45a0::1", "ffff::"];
    let addresses = addresses.map(|address| address.parse::<IpAddr>().expect("an address"));
    let Ok(database) = Database::from_bytes(Path::new("fuzz.mmdb"), bytes.to_vec()) else { return };
    let _shown = database.to_string();
    for address in addresses {
        let _answer = database.lookup(address);
    }
    let file = FILE.with(|file| {
        let name = || std::env::temp_dir().join(format!("rhumb-fuzz-{}.mmdb", std::process::id()));
        file.get_or_init(name).clone()
    });
    fs::write(&file, bytes).expect("a file can be written");
    let Ok((world, _)) = World::load(None, &[file], None, &|_| {}) else { return };
    let table = Questions::new(&world)
        .by_location("country", &|location| Some(location.country.as_str().bytes().map(u16::from).collect()));
    for address in addresses {
        let place = world.lookup(address);
        assert_eq!(place.location.is_some(), table.lookup(address).outcome.is_some(), "{address}");
    }
});
