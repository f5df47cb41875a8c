//! What a receiver knows us by: HMAC-SHA256 over the time of sending and the body.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header `X-Rhumb-Signature`: `t=UNIX,v1=HEX`, where HEX is over `UNIX.BODY`. The time is in it so that
/// what was sent once cannot be sent again by others later on.
pub fn sign(secret: &[u8], unix: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of every length");
    mac.update(format!("{unix}.").as_bytes());
    mac.update(body);
    format!("t={unix},v1={}", data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::sign;

    /// As `printf '1800000000.{"event":"alarm"}' | openssl dgst -sha256 -hmac secret` has it.
    #[test]
    fn it_is_what_openssl_says() {
        assert_eq!(
            sign(b"secret", 1_800_000_000, br#"{"event":"alarm"}"#),
            "t=1800000000,v1=9bbca11d6fb3ffb0cabaad0858735c1996ef44ca4b10fe9d2cabdd8e49d92960"
        );
    }
}
