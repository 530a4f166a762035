//! The format as a user of the crate gets it.

#[cfg(test)]
mod docs;
#[cfg(test)]
mod judges;
#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod parts;
#[cfg(test)]
mod phases;
#[cfg(test)]
mod shutdown;
