//! Any Client Subnet option: what is read is what hickory-proto reads, and is written as it was.

#![no_main]

use hickory_proto::rr::rdata::opt::ClientSubnet;
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use libfuzzer_sys::fuzz_target;
use rhumb::wire::Subnet;

fuzz_target!(|data: &[u8]| {
    let Some(subnet) = Subnet::parse(data) else { return };
    let mut out = vec![0; subnet.option_octets()];
    subnet.write(0, &mut out);
    assert_eq!(out[..2], [0, 8]);
    assert_eq!(usize::from(out[3]), data.len());
    assert_eq!(out[4..], *data, "{subnet:?}");
    let oracle = ClientSubnet::read(&mut BinDecoder::new(data)).expect("we are the stricter ones");
    assert_eq!((oracle.addr(), oracle.source_prefix()), (subnet.address, subnet.source));
    for scope in [1, 24, 56, 128] {
        subnet.write(scope, &mut out);
        assert_eq!(out[7], scope);
    }
});
