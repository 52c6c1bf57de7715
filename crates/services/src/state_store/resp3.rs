//! The part of RESP3 that the protocol uses: requests are arrays of blob strings, replies one value.
//! What the strings mean is not known here.

use bytes::{BufMut, Bytes, BytesMut};

/// More strings than any command has; a longer array is not read further.
const STRINGS_MAX: usize = 8;

/// A payload is no array of at most [`STRINGS_MAX`] blob strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads `*<n>\r\n` and `n` times `$<length>\r\n<bytes>\r\n`, and nothing after. The strings are slices of the payload.
pub(crate) fn parse_strings(payload: &Bytes) -> Result<Vec<Bytes>, Malformed> {
    let (count, mut rest) = number(payload, b'*')?;
    if count > STRINGS_MAX {
        return Err(Malformed);
    }
    let mut strings = Vec::with_capacity(count);
    for _ in 0..count {
        let (length, after) = number(rest, b'$')?;
        let (string, after) = after.split_at_checked(length).ok_or(Malformed)?;
        rest = after.strip_prefix(b"\r\n").ok_or(Malformed)?;
        strings.push(payload.slice_ref(string));
    }
    if rest.is_empty() { Ok(strings) } else { Err(Malformed) }
}

fn number(text: &[u8], mark: u8) -> Result<(usize, &[u8]), Malformed> {
    let text = text.strip_prefix(&[mark]).ok_or(Malformed)?;
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = text.split_at(digits);
    let number = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()).ok_or(Malformed)?;
    Ok((number, rest.strip_prefix(b"\r\n").ok_or(Malformed)?))
}

/// `*<n>\r\n`: what follows are that many values.
pub(crate) fn put_array(out: &mut BytesMut, len: usize) {
    out.put_slice(format!("*{len}\r\n").as_bytes());
}

/// A blob string.
pub(crate) fn put_string(out: &mut BytesMut, string: &[u8]) {
    let head = format!("${}\r\n", string.len());
    out.reserve(head.len() + string.len() + 2);
    out.put_slice(head.as_bytes());
    out.put_slice(string);
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(payload: &'static [u8]) -> Result<Vec<Bytes>, Malformed> {
        parse_strings(&Bytes::from_static(payload))
    }

    #[test]
    fn the_samples_of_the_documentation_are_read() {
        let cases: [(&[u8], &[&[u8]]); 6] = [
            (b"*3\r\n$3\r\nSET\r\n$2\r\nk1\r\n$3\r\nabc\r\n", &[b"SET", b"k1", b"abc"]),
            (
                b"*6\r\n$3\r\nSET\r\n$2\r\nk1\r\n$3\r\nabc\r\n$3\r\nNEX\r\n$2\r\nPX\r\n$4\r\n5000\r\n",
                &[b"SET", b"k1", b"abc", b"NEX", b"PX", b"5000"],
            ),
            (b"*2\r\n$3\r\nGET\r\n$2\r\nk1\r\n", &[b"GET", b"k1"]),
            (b"*3\r\n$9\r\nKEYNOTIFY\r\n$2\r\nk1\r\n$4\r\nSTOP\r\n", &[b"KEYNOTIFY", b"k1", b"STOP"]),
            (b"*2\r\n$3\r\nGET\r\n$4\r\n\x00\r\n\xff\r\n", &[b"GET", b"\x00\r\n\xff"]),
            (b"*0\r\n", &[]),
        ];
        for (payload, strings) in cases {
            assert_eq!(parse(payload).unwrap(), strings, "{payload:?}");
        }
    }

    #[test]
    fn what_is_no_array_of_strings_is_malformed() {
        let whole = b"*2\r\n$3\r\nGET\r\n$2\r\nk1\r\n";
        for cut in 0..whole.len() {
            assert_eq!(parse_strings(&Bytes::copy_from_slice(&whole[..cut])), Err(Malformed), "cut at {cut}");
        }
        for payload in [
            b"hello".as_slice(),
            b"*2\r\n$3\r\nGET\r\n$2\r\nk1\r\nx",
            b"*1\r\n$-1\r\n",
            b"*-1\r\n",
            b"*1\r\n:1\r\n",
            b"*1\r\n$+1\r\na\r\n",
            b"*1\n$1\na\n",
            b"*1\r\n$2\r\na\r\n",
            b"*1\r\n$99999999999999999999\r\na\r\n",
            b"*18446744073709551615\r\n",
            b"*9\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n",
        ] {
            assert_eq!(parse(payload), Err(Malformed), "{payload:?}");
        }
    }

    proptest! {
        #[test]
        fn no_payload_panics(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse_strings(&payload.into());
        }

        #[test]
        fn almost_right_payloads_do_not_panic(
            payload in proptest::collection::vec(prop::sample::select(b"*$0129\r\nSETkx".to_vec()), 0..64)
        ) {
            let _ = parse_strings(&payload.into());
        }

        #[test]
        fn every_array_written_is_read_back(
            strings in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..=STRINGS_MAX)
        ) {
            let mut out = BytesMut::new();
            put_array(&mut out, strings.len());
            strings.iter().for_each(|s| put_string(&mut out, s));
            prop_assert_eq!(parse_strings(&out.freeze()).unwrap(), strings);
        }
    }
}
