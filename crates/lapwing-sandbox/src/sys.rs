//! The system calls that the standard library lacks, behind safe functions. All `unsafe` code of the crate is below.

pub(crate) mod mount;
pub(crate) mod network;
pub(crate) mod notify;
pub(crate) mod process;
pub(crate) mod socket;

use std::ffi::{CString, c_long};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The value of a call that returns -1 and sets `errno` when it fails.
fn check(value: c_long) -> io::Result<c_long> {
    if value == -1 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// `path` as the kernel takes it.
fn c_path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}
