//! Whether what we write is read by the tools of others, and what they write by us.

pub(crate) mod inspect;
pub(crate) mod lab;
pub(crate) mod serve;
pub(crate) mod server;
