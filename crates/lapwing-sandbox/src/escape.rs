//! Paths of any bytes as text: what is not UTF-8, and backslashes, become `\xNN`.

use std::ffi::OsString;
use std::fmt::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// `bytes` as text.
pub(crate) fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\x5c"),
                other => text.push(other),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The path that [`to_text`] made `text` of. A backslash that begins no escape stands for itself.
pub(crate) fn to_path(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = after.strip_prefix('x').and_then(|digits| digits.get(..2));
        // Digits only: a number may also begin with a sign.
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if let Some(byte) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            bytes.push(byte);
            rest = &after[3..];
        } else {
            bytes.push(b'\\');
            rest = after;
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_path_comes_back_from_its_text(bytes: Vec<u8>) {
            prop_assert_eq!(to_path(&to_text(&bytes)).into_os_string().into_vec(), bytes);
        }

        #[test]
        fn every_text_is_a_path(text: String) {
            to_path(&text);
        }
    }

    #[test]
    fn any_bytes_survive_and_text_stays_readable() {
        let bytes = b"/tmp/gr\xc3\xbcn\\x41\xff\n";
        let text = to_text(bytes);
        assert_eq!(text, "/tmp/grün\\x5cx41\\xff\n");
        assert_eq!(to_path(&text).into_os_string().into_vec(), bytes);
        assert_eq!(to_path("a\\b\\x+1\\x").into_os_string().into_vec(), b"a\\b\\x+1\\x");
    }
}
