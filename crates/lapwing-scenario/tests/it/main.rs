//! The format as a user of the crate gets it.

#[cfg(test)]
mod docs;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod judges;
#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod organism;
#[cfg(test)]
mod parts;
#[cfg(test)]
mod phases;
#[cfg(test)]
mod review;
#[cfg(test)]
mod shutdown;
#[cfg(test)]
mod strict;
