//! What pid 1 of a sandbox writes down about the programs that run in it and the connections that they try.

use serde::{Deserialize, Serialize};

/// What is written down. Nothing, unless it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observe {
    /// Every program that is run.
    pub exec: bool,
    /// Every connection that is tried, also on the loopback.
    pub connect: bool,
}

/// What is outside of a sandbox's loopback.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Nothing: other addresses are unreachable and no name can be looked up.
    #[default]
    Loopback,
    /// An internet that takes everything and leads nowhere: each name has an address, each connection is taken and written
    /// down with what is sent over it. Nothing leaves the sandbox.
    Sinkhole,
}

/// What was written down since it was asked for last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// In the order in which they began.
    pub records: Vec<Record>,
    /// How many more there were. They were not kept.
    pub missed: u64,
}

/// One thing that pid 1 saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A program was run.
    Spawn(Spawn),
    /// A connection was tried, or datagrams were sent.
    Contact(Contact),
}

/// A program that was run, as the kernel was asked to. A program that runs threads can change the arguments after this look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spawn {
    /// The process inside.
    pub pid: u32,
    /// Its parent.
    pub parent: u32,
    /// The file to be run.
    pub path: String,
    /// Name and arguments, as far as they were kept.
    pub argv: Vec<String>,
    /// The working directory.
    pub cwd: String,
}

/// A connection that was tried, or the datagrams that went to one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The process inside; 0 if it is not known.
    pub pid: u32,
    /// How.
    pub protocol: Protocol,
    /// The IP address.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The name for which the address was given, or the one that was asked for in a look-up.
    pub name: Option<String>,
    /// The host that the sender names itself, in a TLS greeting or an HTTP header.
    pub told: Option<String>,
    /// Bytes that were sent; `None` where nobody counted.
    pub sent_bytes: Option<u64>,
    /// Those bytes as far as they were kept.
    #[serde(skip)]
    pub payload: Vec<u8>,
}

/// A protocol over IP.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// A stream.
    #[default]
    Tcp,
    /// Datagrams.
    Udp,
    /// A name that was looked up.
    Dns,
}

impl Protocol {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Dns => "dns",
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Act, Protocol};

    #[test]
    fn a_connection_of_an_older_store_can_be_read() {
        let old = r#"{"kind": "connected", "sandbox": "a", "host": "lamp", "port": 80, "sent_bytes": 3, "sent": null}"#;
        let expected = Act::Connected {
            sandbox: "a".to_owned(),
            host: "lamp".to_owned(),
            port: 80,
            sent_bytes: Some(3),
            sent: None,
            protocol: Protocol::Tcp,
            address: String::new(),
            name: None,
            told: None,
            pid: 0,
        };
        assert_eq!(serde_json::from_str::<Act>(old).unwrap(), expected);
    }
}
