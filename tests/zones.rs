//! Scenarios of reading and checking zones: files in, records and problems out.
//!
//! `tests/data/zones/*.txt` hold them. A scenario begins with `== title`; then come its files, each under
//! `-- path` (`-- path -> target` is a symbolic link), and what is expected under `-- records` and
//! `-- problems`. Every folder has an `apex.inc` with what a zone must have, whose records are not listed.
//! Records are shown as hickory-proto decodes them, which is also the oracle for the bytes: it must
//! encode the same again.

use std::fs;
use std::path::{Path, PathBuf};

use hickory_proto::rr::{Name as HickoryName, RData, RecordType};
use hickory_proto::serialize::binary::{BinDecoder, BinEncodable, BinEncoder, NameEncoding, Restrict};
use hickory_proto::serialize::txt::Parser;
use rhumb::files::{Problem, Severity};
use rhumb::state::zones::{Progress, ZoneRecord, check_zones, read_zone, read_zones, type_name};

const APEX: &str = "$TTL 1h\n@ SOA ns1 hostmaster 1 2h 15m 14d 5m\n@ NS ns1\nns1 A 192.0.2.53\n";

#[test]
fn scenarios() {
    let mut wrong = Vec::new();
    let mut count = 0;
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/zones");
    for file in fs::read_dir(data).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let text = text.replace("{x255}", &"x".repeat(255)).replace("{x256}", &"x".repeat(256));
        for scenario in text.split("\n== ").skip(1) {
            count += 1;
            let (title, body) = scenario.split_once('\n').unwrap();
            let sections = sections(body);
            let (records, problems) = run(&format!("scenario-{count}"), &sections);
            for (name, got) in [("records", records), ("problems", problems)] {
                let expected = sections.iter().find(|(section, _)| section == name);
                let expected = expected.map(|(_, text)| text.trim_end()).unwrap_or_default();
                let is_compared = name == "problems" || sections.iter().any(|(section, _)| section == name);
                if is_compared && got != expected {
                    wrong.push(format!("== {title}\n-- {name}, expected\n{expected}\n-- {name}\n{got}\n"));
                }
            }
        }
    }
    assert!(count > 20, "the scenarios are found");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn sections(body: &str) -> Vec<(String, String)> {
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in body.lines() {
        match (line.strip_prefix("-- "), sections.last_mut()) {
            (Some(name), _) => sections.push((name.into(), String::new())),
            (None, Some((_, text))) => *text += &format!("{line}\n"),
            (None, None) => assert_eq!(line, "", "text before the first section"),
        }
    }
    sections
}

fn run(name: &str, sections: &[(String, String)]) -> (String, String) {
    let dir = Folder::new(name);
    fs::write(dir.0.join("apex.inc"), APEX).unwrap();
    for (name, text) in sections {
        if name == "records" || name == "problems" {
            continue;
        }
        let (path, link) = name.split_once(" -> ").map_or((&**name, None), |(path, to)| (path, Some(to)));
        let path = dir.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match link {
            Some(to) => std::os::unix::fs::symlink(to, path).unwrap(),
            None => fs::write(path, text).unwrap(),
        }
    }
    let (zones, mut problems) = read_zones(&dir.0, &mut |_| {});
    check_zones(&zones, &|name| name.to_string().starts_with("wss-"), &mut problems);
    let listed = zones.iter().flat_map(|zone| &zone.records).filter(|r| !r.file.ends_with("apex.inc"));
    let records: Vec<_> = listed.map(show).collect();
    let place = dir.0.display().to_string();
    let told = problems.iter().map(Problem::to_string);
    let problems: Vec<_> =
        told.map(|p| p.replace(&format!("{place}/"), "").replace(&place, "{dir}")).collect();
    (records.join("\n"), problems.join("\n"))
}

/// Decodes our data with hickory-proto, holds its encoding against ours, and shows them.
fn show(record: &ZoneRecord) -> String {
    let code = RecordType::from(record.record_type);
    let mut decoder = BinDecoder::new(&record.rdata);
    let len = Restrict::new(record.rdata.len() as u16);
    let data = RData::read(&mut decoder, code, len).unwrap_or_else(|e| panic!("{}: {e}", record.label()));
    let mut again = Vec::new();
    let mut encoder = BinEncoder::new(&mut again);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    data.emit(&mut encoder).unwrap();
    assert_eq!(again, record.rdata, "{}", record.label());
    let data = match &data {
        RData::Unknown { .. } => {
            let hex: String = record.rdata.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("\\# {} {hex}", record.rdata.len())
        }
        RData::TXT(txt) => {
            let texts: Vec<_> =
                txt.txt_data.iter().map(|text| format!("\"{}\"", text.escape_ascii())).collect();
            texts.join(" ")
        }
        known => known.to_string(),
    };
    format!("{} {} {} {data}", record.owner, record.ttl, type_name(record.record_type))
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("zones-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Folder(dir)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_example_zones_are_right() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("zones");
    let (zones, mut problems) = read_zones(&dir, &mut |_| {});
    check_zones(&zones, &|_| false, &mut problems);
    assert_eq!(problems, []);
    let names: Vec<_> = zones.iter().map(|zone| (zone.origin.to_string(), zone.records.len())).collect();
    assert_eq!(names, [("example.com.".into(), 29), ("wss.example.net.".into(), 4)]);
}

#[test]
fn what_was_read_can_be_watched() {
    let dir = Folder::new("watched");
    let write = |name: &str, text: &str| fs::write(dir.0.join(name), text).unwrap();
    write("example.com.zone", "$INCLUDE a.inc\n$INCLUDE absent.inc\n");
    write("a.inc", "$TTL 1\n@ TXT a\n");
    write(".hidden.zone", "nonsense");
    write("notes.txt", "nonsense");
    let mut reports = Vec::new();
    let (zones, problems) = read_zones(&dir.0, &mut |progress| reports.push(progress));
    let files = ["example.com.zone", "a.inc", "absent.inc"].map(|name| dir.0.join(name));
    assert_eq!(zones.iter().map(|zone| &zone.files[..]).collect::<Vec<_>>(), [files]);
    assert!(!zones[0].complete);
    assert_eq!(problems.len(), 1);
    let all_bytes = 35 + 15;
    assert_eq!(reports.last(), Some(&Progress { done_bytes: all_bytes, all_bytes }));
}

#[test]
fn what_is_no_file_is_told() {
    let dir = Folder::new("no-files");
    fs::create_dir(dir.0.join("example.com.zone")).unwrap();
    let (_, problems) = read_zones(&dir.0, &mut |_| {});
    assert_eq!(problems.iter().map(|p| p.message.as_str()).collect::<Vec<_>>(), ["it is not a file"]);
    let (zones, problems) = read_zones(&dir.0.join("absent"), &mut |_| {});
    assert_eq!((zones.len(), problems.len(), problems[0].severity), (0, 1, Severity::Error));
    let mut problems = Vec::new();
    assert_eq!(read_zone(&dir.0.join("x.zone"), &dir.0, &mut problems).records, []);
    assert!(problems[0].message.starts_with("it cannot be read: "));
}

#[test]
fn includes_have_limits() {
    let dir = Folder::new("includes");
    let write = |name: &str, text: &str| fs::write(dir.0.join(name), text).unwrap();
    write("deep.zone", "$INCLUDE 1\n");
    for depth in 1..=20 {
        write(&depth.to_string(), &format!("$INCLUDE {}\n$TTL 1\nx TXT {depth}\n", depth + 1));
    }
    write("wide.zone", &"$INCLUDE 20\n".repeat(1001));
    write("21", "");
    let (zones, problems) = read_zones(&dir.0, &mut |_| {});
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    let told: Vec<_> = errors.map(|problem| (problem.line, problem.message.as_str())).collect();
    let too_deep = "files include each other more than 16 deep";
    let too_many = "the zone includes more than 1000 files";
    assert_eq!(told[..2], [(Some(1), too_deep), (Some(501), too_many)]);
    assert_eq!(told.len(), 1 + 501);
    assert_eq!(zones[0].records.len(), 16);
}

/// Bytes of every kind: many files go through the lexer in its own test; these are closer to zones.
mod any_text {
    use super::*;
    use proptest::prelude::*;
    use rhumb::state::zones::read_zone_text;

    const PIECES: [&str; 34] = [
        "@ ",
        "www ",
        "*.x ",
        "\n",
        "\n ",
        "\r\n",
        "$TTL 1h\n",
        "$ORIGIN x.\n",
        "$ORIGIN ",
        "$INCLUDE a\n",
        "IN ",
        "CH ",
        "1h ",
        "4294967296 ",
        "A ",
        "192.0.2.1 ",
        "NS ",
        "MX 10 ",
        "SOA a b 1 2 3 4 5\n",
        "TXT ",
        "\"a b\" ",
        "\"",
        "(",
        ")",
        "; x",
        "\\",
        "\\255",
        "\\# 4 c0000201 ",
        "TYPE65280 ",
        "HTTPS 1 . ",
        "alpn=\"h2\" ",
        "mandatory=alpn ",
        "CNAME ",
        "CSYNC 1 3 A NS TYPE65535 ",
    ];

    proptest! {
        #[test]
        fn is_read_or_told(text in proptest::collection::vec(prop_oneof![
            8 => proptest::sample::select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()),
            1 => proptest::collection::vec(any::<u8>(), 0..8),
        ], 0..40)) {
            let text = text.concat();
            let mut problems = Vec::new();
            let dir = Path::new("/nonexistent");
            let zone = read_zone_text(&text, &dir.join("example.com.zone"), dir, &mut problems);
            let lines = 1 + text.iter().filter(|&&byte| byte == b'\n').count();
            for problem in &problems {
                prop_assert!(problem.line.is_some_and(|line| (1..=lines).contains(&line)), "{problem}");
                prop_assert!(!problem.message.is_empty());
            }
            for record in &zone.records {
                prop_assert!((1..=lines).contains(&record.line));
                prop_assert!(record.ttl <= i32::MAX as u32);
            }
            prop_assert_eq!(zone.complete, problems.iter().all(|problem| problem.severity == Severity::Warning));
            check_zones(&[zone], &|_| false, &mut problems);
        }
    }
}

/// Why the table in `state/zones/types.rs` reads record data and not hickory-proto's parser. A line that
/// fails here says that the parser has become better, and the list there wants a look.
#[test]
fn where_hickory_proto_falls_short() {
    let parse = |line: &str| {
        let text = format!("www 60 IN {line}\n");
        let origin = HickoryName::from_ascii("example.com.").unwrap();
        let (_, sets) = Parser::new(text, None, Some(origin)).parse().map_err(|_| "refused")?;
        let set = sets.into_values().next().ok_or("dropped")?;
        Ok::<_, &str>(set.records_without_rrsigs().map(|r| r.data.to_string()).collect::<Vec<_>>().join(", "))
    };
    let mut better = Vec::new();
    let mut check = |line: &'static str, falls_short: Result<&str, &str>| {
        let got = parse(line);
        if got != falls_short.map(String::from) {
            better.push((line, got));
        }
    };
    check("CNAME Web.Example.COM.", Ok("web.example.com."));
    check("CNAME @", Err("refused"));
    check("CNAME a_b", Err("refused"));
    check(r"CNAME \101", Ok("a.example.com."));
    check("A 192.0.2.1 192.0.2.2", Ok("192.0.2.1"));
    check("MX 10 mail surplus", Ok("10 mail.example.com."));
    check(r#"TXT "\065""#, Ok("\u{605}"));
    check(r"TXT a\ b", Ok(r"a\b"));
    check(r"TXT a\;b", Ok(r"a\"));
    check("HTTPS 1 svc alpn=h2", Ok("1 svc alpn=h2,"));
    check("HTTPS 1 . port=443 mandatory=alpn", Ok("1 . port=443 mandatory=alpn,"));
    check("HTTPS 1 . port=443 port=444", Ok("1 . port=443 port=444"));
    check("SSHFP 4 2 0123 4567", Err("refused"));
    check("OPENPGPKEY AAAA AAAA", Err("refused"));
    check("CERT 1 0 0 AAAA AAAA", Ok("PKIX 0 Reserved(0) AAAA"));
    check("DS 1 13 2 00", Err("refused"));
    check("DNSKEY 257 3 13 AAAA", Err("refused"));
    check("CDS 0 0 0 00", Err("refused"));
    check("SPF x", Err("refused"));
    check("URI 1 1 x", Err("refused"));
    check(r"TYPE65280 \# 1 00", Err("refused"));
    check(r"A \# 4 c0000201", Err("refused"));
    assert_eq!(better, []);
}
