//! Names and addresses of an internet that leads nowhere. RFC 1035.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

/// Where names are asked for, first address of the block that RFC 2544 sets aside for tests.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The address of this machine in such a network.
pub(crate) const OWN: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// The port of name servers.
pub(crate) const PORT: u16 = 53;
/// Addresses of the block 198.18.0.0/15 that names get. The first 256 are left out.
const FIRST: u32 = u32::from_be_bytes([198, 18, 1, 0]);
const COUNT: u32 = (1 << 17) - 512;
/// Names whose addresses are remembered.
const NAMES: usize = 4096;

const HEADER_BYTES: usize = 12;
const A: u16 = 1;
const INTERNET: u16 = 1;
/// Seconds for which an answer may be kept.
const TIME_TO_LIVE: u32 = 60;

/// Which address stands for which name.
pub(crate) struct Names {
    /// Names of this machine and of those beside it.
    local: Vec<String>,
    by_address: HashMap<IpAddr, String>,
}

/// A question to a name server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) name: String,
    kind: u16,
    class: u16,
    /// Where it ends in the packet.
    end: usize,
}

impl Names {
    pub(crate) fn new(local: Vec<String>) -> Self {
        Self { local, by_address: HashMap::new() }
    }

    /// The name that got `address`.
    pub(crate) fn name(&self, address: IpAddr) -> Option<String> {
        self.by_address.get(&address).cloned()
    }

    /// The address of `name`: the same in every sandbox, unless another name there has it.
    fn address(&mut self, name: &str) -> Ipv4Addr {
        if name == "localhost" || self.local.iter().any(|local| local.eq_ignore_ascii_case(name)) {
            return Ipv4Addr::LOCALHOST;
        }
        let mut index = hash(name.as_bytes()) % COUNT;
        loop {
            let address = Ipv4Addr::from(FIRST + index);
            match self.by_address.get(&IpAddr::V4(address)) {
                Some(other) if other != name => index = (index + 1) % COUNT,
                Some(_) => return address,
                None => {
                    if self.by_address.len() < NAMES {
                        self.by_address.insert(IpAddr::V4(address), name.to_owned());
                    }
                    return address;
                }
            }
        }
    }

    /// The answer to `packet`, if it is a question: one address for a name, nothing for all else that could be asked.
    pub(crate) fn answer(&mut self, packet: &[u8]) -> Option<(Question, Vec<u8>)> {
        let question = question(packet)?;
        let address = (question.kind == A && question.class == INTERNET)
            .then(|| self.address(&question.name));
        let mut answer = packet[..question.end].to_vec();
        // A response without error, recursion available; as asked for: its kind and whether recursion is desired.
        answer[2] = 0x80 | (packet[2] & 0x79);
        answer[3] = 0x80;
        answer[6..HEADER_BYTES].copy_from_slice(&[0, u8::from(address.is_some()), 0, 0, 0, 0]);
        if let Some(address) = address {
            // The name is that of the question.
            answer.extend_from_slice(&[0xc0, HEADER_BYTES as u8]);
            for value in [A, INTERNET] {
                answer.extend_from_slice(&value.to_be_bytes());
            }
            answer.extend_from_slice(&TIME_TO_LIVE.to_be_bytes());
            answer.extend_from_slice(&[0, 4]);
            answer.extend_from_slice(&address.octets());
        }
        Some((question, answer))
    }
}

/// The one question of a standard query.
fn question(packet: &[u8]) -> Option<Question> {
    let header = packet.get(..HEADER_BYTES)?;
    let is_query = header[2] & 0xf8 == 0 && header[4..6] == [0, 1];
    if !is_query {
        return None;
    }
    let mut labels = Vec::new();
    let mut at = HEADER_BYTES;
    loop {
        let len = usize::from(*packet.get(at)?);
        at += 1;
        match len {
            0 => break,
            1..=63 => {
                let label = packet.get(at..at + len)?;
                labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
                at += len;
            }
            // Compression points backwards, where nothing stands yet.
            _ => return None,
        }
    }
    if at - HEADER_BYTES > 255 {
        return None;
    }
    let [kind, class] = [packet.get(at..at + 2)?, packet.get(at + 2..at + 4)?]
        .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    Some(Question { name: labels.join("."), kind, class, end: at + 4 })
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u16) -> Vec<u8> {
        let mut packet = vec![0xab, 0xcd, 1, 0x20, 0, 1, 0, 0, 0, 0, 0, 1];
        for label in name.split('.') {
            packet.push(label.len() as u8);
            packet.extend_from_slice(label.as_bytes());
        }
        packet.push(0);
        packet.extend_from_slice(&[kind.to_be_bytes(), INTERNET.to_be_bytes()].concat());
        // An additional record that says how long answers may be.
        packet.extend_from_slice(&[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]);
        packet
    }

    #[test]
    fn a_name_has_one_address_whatever_its_case_and_an_address_one_name() {
        let mut names = Names::new(vec!["Mail.internal".to_owned()]);
        let (question, answer) = names.answer(&query("Drop.Example", A)).unwrap();
        assert_eq!(question.name, "drop.example");
        assert_eq!(answer[..HEADER_BYTES], [0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        let [.., a, b, c, d] = answer[..] else { panic!("no address") };
        let address = Ipv4Addr::new(a, b, c, d);
        assert!(address.octets()[0] == 198 && matches!(address.octets()[1], 18 | 19), "{address}");
        assert_eq!(names.name(IpAddr::V4(address)).as_deref(), Some("drop.example"));
        assert_eq!(Names::new(Vec::new()).address("drop.example"), address);
        assert_eq!(names.address("mail.internal"), Ipv4Addr::LOCALHOST);
        let n_names = if cfg!(miri) { 20 } else { 2000 };
        let all: std::collections::HashSet<Ipv4Addr> =
            (0..n_names).map(|number| names.address(&format!("host-{number}.example"))).collect();
        assert_eq!(all.len(), n_names);
    }

    #[test]
    fn other_records_of_a_name_are_empty_and_not_an_error() {
        let (_, answer) = Names::new(Vec::new()).answer(&query("drop.example", 28)).unwrap();
        assert_eq!(answer.len(), HEADER_BYTES + 14 + 4);
        assert_eq!(answer[3..8], [0x80, 0, 1, 0, 0]);
    }

    #[test]
    fn what_is_no_question_has_no_answer() {
        let good = query("a.b", A);
        for len in 0..HEADER_BYTES + 9 {
            assert_eq!(question(&good[..len]), None, "{len}");
        }
        let mut response = good.clone();
        response[2] |= 0x80;
        let mut compressed = good.clone();
        compressed[HEADER_BYTES] = 0xc0;
        let mut long = good[..HEADER_BYTES].to_vec();
        long.extend([vec![63; 64], vec![63; 64], vec![63; 64], vec![63; 64], vec![0; 5]].concat());
        for packet in [&response[..], &compressed, &long, b"hello world, how are you"] {
            assert_eq!(question(packet), None);
        }
    }
}
