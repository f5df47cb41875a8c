//! Messages on a stream: each with its length before it, in two bytes (RFC 1035, 4.2.2; RFC 7766, 8).

/// The largest message a frame can hold.
pub(super) const MESSAGE_BYTES_MAX: usize = u16::MAX as usize;

/// The first message of `bytes` and what comes after it; none until it is whole.
pub(super) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}

/// Appends a message of at most [`MESSAGE_BYTES_MAX`] bytes.
pub(super) fn push(message: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&(message.len() as u16).to_be_bytes());
    bytes.extend_from_slice(message);
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However a stream is cut into reads, the same messages come out, in order, as early as
        /// they are whole.
        #[test]
        fn cuts_do_not_matter(messages in vec(vec(any::<u8>(), 0..300), 0..20), cuts in vec(1usize..200, 1..50)) {
            let mut stream = Vec::new();
            for message in &messages {
                push(message, &mut stream);
            }
            let (mut unread, mut held, mut found) = (&stream[..], Vec::new(), Vec::new());
            for cut in cuts.into_iter().cycle() {
                let (read, rest) = unread.split_at(cut.min(unread.len()));
                held.extend_from_slice(read);
                unread = rest;
                while let Some((message, rest)) = split(&held) {
                    found.push(message.to_vec());
                    held = rest.to_vec();
                }
                let whole: usize = found.iter().map(|message| 2 + message.len()).sum();
                prop_assert_eq!(whole + held.len(), stream.len() - unread.len());
                prop_assert!(held.len() < 2 || held.len() < 2 + usize::from(u16::from_be_bytes([held[0], held[1]])));
                if unread.is_empty() {
                    break;
                }
            }
            prop_assert!(held.is_empty());
            prop_assert_eq!(found, messages);
        }
    }

    #[test]
    fn longest() {
        let mut stream = Vec::new();
        push(&[7; MESSAGE_BYTES_MAX], &mut stream);
        assert_eq!(split(&stream[..stream.len() - 1]), None);
        assert_eq!(split(&stream), Some((&[7; MESSAGE_BYTES_MAX][..], &[][..])));
    }
}
