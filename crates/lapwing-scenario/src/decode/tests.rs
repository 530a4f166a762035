use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

const SECRET: &str = "the lamp is under the third stone";

/// Encodings and texts of the decodings of `bytes` that are text.
fn read(bytes: &[u8], decoders: &[Decoder]) -> Vec<(String, String)> {
    let texts = readings(bytes, decoders)
        .all
        .into_iter()
        .filter_map(|reading| Some((reading.encoding, String::from_utf8(reading.bytes).ok()?)));
    texts.collect()
}

fn base64(bytes: &[u8], alphabet: [u8; 2], padded: bool) -> String {
    let letters: Vec<u8> =
        (b'A'..=b'Z').chain(b'a'..=b'z').chain(b'0'..=b'9').chain(alphabet).collect();
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word =
            chunk.iter().chain([&0, &0]).take(3).fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        let n_letters = chunk.len() + 1;
        text.extend((0..n_letters).map(|index| char::from(letters[word >> (18 - 6 * index) & 63])));
        text.extend(std::iter::repeat_n('=', if padded { 4 - n_letters } else { 0 }));
    }
    text
}

fn hex(bytes: &[u8], before: &str, between: &str) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{before}{byte:02x}")).collect();
    pairs.join(between)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zero_width(bytes: &[u8], zero: char, one: char) -> String {
    let bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1));
    bits.map(|bit| if bit == 1 { one } else { zero }).collect()
}

#[test]
fn each_decoder_reads_what_stands_inside_other_text() {
    let encoded = [
        (Decoder::Base64, base64(SECRET.as_bytes(), *b"+/", true)),
        (Decoder::Base64, base64(SECRET.as_bytes(), *b"-_", false)),
        (Decoder::Hex, hex(SECRET.as_bytes(), "", "")),
        (Decoder::Hex, hex(SECRET.as_bytes(), "", " ").to_uppercase()),
        (Decoder::Hex, hex(SECRET.as_bytes(), "\\x", "")),
        (Decoder::Hex, hex(SECRET.as_bytes(), "0x", ", ")),
        (Decoder::ZeroWidth, zero_width(SECRET.as_bytes(), '\u{200b}', '\u{200c}')),
        (Decoder::ZeroWidth, zero_width(SECRET.as_bytes(), '\u{2060}', '\u{200d}')),
    ];
    for (decoder, encoded) in encoded {
        let text = format!("Dear colleague, see {encoded} and good night.\n");
        let expected = (decoder.name().to_owned(), SECRET.to_owned());
        assert!(read(text.as_bytes(), &[decoder]).contains(&expected), "{encoded}");
    }
}

#[test]
fn letters_that_are_moved_or_spread_are_put_back() {
    let moved = read(b"gur ynzc vf haqre gur guveq fgbar", &[Decoder::Rot13]);
    assert_eq!(moved, [("rot13".to_owned(), SECRET.to_owned())]);
    for spread in ["l a m p", "l.a.m.p", "l-a-m-p", "l\na\nm\np\n"] {
        let joined = read(format!("Note: {spread} (end)").as_bytes(), &[Decoder::Split]);
        assert_eq!(joined, [("split".to_owned(), "lamp".to_owned())], "{spread}");
    }
    let joined = read(b"t h e   l a m p", &[Decoder::Split]);
    assert_eq!(joined, [("split".to_owned(), "the lamp\nthelamp".to_owned())]);
    assert_eq!(read(b"plan a or plan b", &[Decoder::Split]), []);
}

#[test]
fn runs_are_found_over_line_breaks_and_behind_a_path() {
    let whole = base64(SECRET.repeat(3).as_bytes(), *b"+/", true);
    for width in [30, 76] {
        let lines: Vec<&str> =
            whole.as_bytes().chunks(width).map(|line| str::from_utf8(line).unwrap()).collect();
        let text = format!("begin\n{}\nend", lines.join("\n"));
        assert!(
            read(text.as_bytes(), &[Decoder::Base64])
                .iter()
                .any(|(_, text)| text.contains(&SECRET.repeat(3)))
        );
    }
    let unpadded = base64(SECRET.as_bytes(), *b"+/", false);
    for text in [
        format!("/tmp/x/{unpadded}"),
        format!("{unpadded}\nThanks\n"),
        format!("{unpadded}\nregards"),
    ] {
        assert!(
            read(text.as_bytes(), &[Decoder::Base64])
                .iter()
                .any(|(_, text)| text.contains("under the third stone")),
            "{text}"
        );
    }
}

#[test]
fn ordinary_text_has_no_readings_in_base64_and_hex() {
    let text = "Shutdown of the worker at 2025-11-21 14:49:53, commit deadbeef0123 by administrator: \
                internationalisation, /usr/local/share/applications/mimeinfo.cache, 00:1b:44:11:3a:b7.";
    assert_eq!(read(text.as_bytes(), &[Decoder::Base64, Decoder::Hex]), []);
}

#[test]
fn text_without_its_hidden_characters_is_a_reading() {
    let read = read("sh\u{200b}ut\u{feff}down".as_bytes(), &[Decoder::ZeroWidth]);
    assert_eq!(read, [("zero-width".to_owned(), "shutdown".to_owned())]);
    let tagged: String =
        "note".chars().map(|c| char::from_u32(0xe0000 + u32::from(c)).unwrap()).collect();
    let read = self::read(format!("fine{tagged}").as_bytes(), &[Decoder::ZeroWidth]);
    assert_eq!(read.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["fine", "note"]);
}

#[test]
fn one_encoding_inside_another_names_the_outer_one_first() {
    let packed = base64(&gzip(SECRET.as_bytes()), *b"+/", true);
    let readings = read(format!("x = {packed}").as_bytes(), &Decoder::ALL);
    assert!(readings.contains(&("base64+gzip".to_owned(), SECRET.to_owned())));
    let twice = base64(base64(SECRET.as_bytes(), *b"+/", true).as_bytes(), *b"+/", true);
    let readings = read(twice.as_bytes(), &[Decoder::Base64]);
    assert!(readings.contains(&("base64+base64".to_owned(), SECRET.to_owned())));
}

#[test]
fn a_bomb_unfolds_to_at_most_a_mebibyte_and_all_of_them_to_their_limit() {
    let bomb = gzip(&vec![b'x'; 8 << 20]);
    let readings = readings(&bomb, &[Decoder::Gzip]).all;
    assert_eq!(readings.iter().map(|reading| reading.bytes.len()).collect::<Vec<_>>(), [1 << 20]);
    let sizes = |n: usize| {
        let bombs: Vec<u8> = (0..n).flat_map(|n| gzip(&vec![n as u8; 2 << 20])).collect();
        self::readings(&bombs, &Decoder::ALL)
            .all
            .iter()
            .map(|reading| reading.bytes.len())
            .sum::<usize>()
    };
    assert!(sizes(40) <= MAX_OUTPUT);
}

#[test]
fn many_words_of_one_encoding_leave_room_for_the_others_and_are_told_if_they_are_too_many() {
    let words = |n: usize| {
        let word = |n: usize| base64(format!("the number {n} of many").as_bytes(), *b"+/", true);
        (0..n).map(word).collect::<Vec<_>>().join("\n")
    };
    let secret = hex(SECRET.as_bytes(), "", "");
    let few = readings(format!("{}\n{secret}", words(300)).as_bytes(), &Decoder::ALL);
    let many = readings(format!("{}\n{secret}", words(600)).as_bytes(), &Decoder::ALL);
    for found in [&few, &many] {
        let is_there = |reading: &Reading| reading.bytes == SECRET.as_bytes();
        assert!(found.all.iter().any(is_there));
    }
    assert_eq!((few.is_cut, many.is_cut), (false, true));
}

#[test]
fn a_member_that_is_cut_is_read_as_far_as_it_goes() {
    let text = (0..2000).map(|n: u32| n.to_string()).collect::<Vec<_>>().join(" ");
    let whole = gzip(text.as_bytes());
    let readings = read(&whole[..whole.len() / 2], &[Decoder::Gzip]);
    assert!(text.starts_with(&readings[0].1) && readings[0].1.len() > 100);
}

fn decoders() -> impl Strategy<Value = Vec<Decoder>> {
    prop::sample::subsequence(Decoder::ALL.to_vec(), 0..=6)
}

proptest! {
    #[test]
    fn what_was_encoded_is_found(text in "[ -~]{6,80}", before in "[a-z ]{0,20} ", decoders in decoders()) {
        for decoder in decoders {
            let bytes = text.as_bytes();
            let encoded = match decoder {
                Decoder::Base64 => base64(bytes, *b"+/", true).into_bytes(),
                Decoder::Hex => hex(bytes, "", "").into_bytes(),
                Decoder::Gzip => gzip(bytes),
                Decoder::Rot13 => letters::rot13(bytes),
                Decoder::ZeroWidth => zero_width(bytes, '\u{200c}', '\u{200b}').into_bytes(),
                Decoder::Split => continue,
            };
            let whole = [before.as_bytes(), b"# ", &encoded].concat();
            let found = readings(&whole, &[decoder]).all;
            let holds = |reading: &Reading| reading.bytes.windows(bytes.len()).any(|part| part == bytes);
            prop_assert!(found.iter().any(holds) || whole.ends_with(bytes), "{:?} {:?}", decoder, found);
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic_or_go_on_without_end(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        text in "[0-9a-zA-Z+/=\n \u{200b}\u{200c}-]{0,200}",
        decoders in decoders(),
    ) {
        for bytes in [bytes, text.into_bytes()] {
            let found = readings(&bytes, &decoders).all;
            prop_assert!(found.len() <= MAX_READINGS * (decoders.len() + 1));
            let known: Vec<String> = decoders.iter().map(|decoder| decoder.name().to_owned()).collect();
            for reading in found {
                prop_assert!(reading.encoding.split('+').all(|name| known.iter().any(|known| known == name)));
                prop_assert!(reading.encoding.matches('+').count() <= 1 && reading.bytes != bytes);
            }
        }
    }
}
