//! Clients against a server on the loopback that plays recorded answers.

mod anthropic;
mod chaos;
mod chat;
mod flow;
mod responses;
mod streams;
mod support;
