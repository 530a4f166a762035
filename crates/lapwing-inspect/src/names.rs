//! Names and times as Inspect writes them.

use jiff::Timestamp;
use lapwing_core::Digest;

/// Letters of a short id: those of shortuuid, without look-alikes.
const LETTERS: &[u8; 57] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const SHORT_ID: usize = 22;

/// An id of 22 letters. Equal texts have equal ids, so that a run that is exported twice makes the same file.
pub(crate) fn short_id(text: &str) -> String {
    let digest = Digest::of(text.as_bytes());
    let (first, _) = digest.as_bytes().split_at(16);
    let mut number = first.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    let letters = (0..SHORT_ID).map(|_| {
        let letter = LETTERS[(number % 57) as usize];
        number /= 57;
        char::from(letter)
    });
    letters.collect()
}

/// `2026-09-22T10:00:00.000+00:00`.
pub(crate) fn time(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
    at.unwrap_or(Timestamp::UNIX_EPOCH).strftime("%Y-%m-%dT%H:%M:%S%.3f+00:00").to_string()
}

/// Milliseconds since the Unix epoch of a time with an offset, or without one, which is UTC.
pub(crate) fn at_ms(time: &str) -> Option<u64> {
    let at = time.parse::<Timestamp>().or_else(|_| format!("{time}Z").parse()).ok()?;
    u64::try_from(at.as_millisecond()).ok()
}

/// `{created}_{task}_{id}.eval`.
pub(crate) fn file_name(created_ms: u64, task: &str, id: &str) -> String {
    let part = |text: &str| text.replace(['_', '/', ':', '+'], "-");
    format!("{}_{}_{}.eval", part(&time(created_ms)), part(task), part(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_with_an_offset() {
        assert_eq!(time(1_790_071_200_123), "2026-09-22T10:00:00.123+00:00");
        let read = [
            "2026-09-22T10:00:00.123+00:00",
            "2026-09-22T12:00:00.123456+02:00",
            "2026-09-22T10:00:00.123",
        ];
        for text in read {
            assert_eq!(at_ms(text), Some(1_790_071_200_123), "{text}");
        }
        assert_eq!(at_ms("yesterday"), None);
    }

    #[test]
    fn a_file_is_named_as_inspect_names_it() {
        assert_eq!(
            file_name(1_790_071_200_000, "a/b_c", "T1"),
            "2026-09-22T10-00-00.000-00-00_a-b-c_T1.eval"
        );
        let id = short_id("a");
        assert_eq!((id.len(), short_id("a") == id, short_id("b") == id), (22, true, false));
    }
}
