//! Mounts: everything here acts on the mount namespace of the calling process.
#![expect(unsafe_code, reason = "mount calls have no wrapper in the standard library")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::ptr;

use super::{c_path, check};

/// Who may do what on a mounted copy of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Programs and data to be read: read-only, no set-uid, no devices.
    ReadOnly,
    /// A device node: nothing can be created or run, the device itself answers.
    Device,
    /// As the tree it is copied from.
    Same,
}

/// A copy of a mounted tree that is not attached anywhere yet.
pub(crate) struct Tree(OwnedFd);

impl Tree {
    /// Copies the mount at `path` with all mounts below it; a link in the last component is not followed.
    pub(crate) fn copy(path: &Path, access: Access) -> io::Result<Self> {
        let path = c_path(path)?;
        let flags = libc::OPEN_TREE_CLONE
            | libc::OPEN_TREE_CLOEXEC
            | libc::AT_RECURSIVE as u32
            | libc::AT_SYMLINK_NOFOLLOW as u32;
        // SAFETY: `path` is a NUL-terminated string that outlives the call.
        let fd = check(unsafe {
            libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags)
        })?;
        // SAFETY: the kernel just returned this descriptor; nobody else owns it.
        Self(unsafe { OwnedFd::from_raw_fd(fd as i32) }).with(access)
    }

    /// Copies the folder `folder` of the mount that it was opened in, without mounts below it.
    pub(crate) fn copy_of(folder: BorrowedFd<'_>, access: Access) -> io::Result<Self> {
        let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_EMPTY_PATH as u32;
        // SAFETY: the path is an empty NUL-terminated string.
        let fd = check(unsafe {
            libc::syscall(libc::SYS_open_tree, folder.as_raw_fd(), c"".as_ptr(), flags)
        })?;
        // SAFETY: the kernel just returned this descriptor; nobody else owns it.
        Self(unsafe { OwnedFd::from_raw_fd(fd as i32) }).with(access)
    }

    fn with(self, access: Access) -> io::Result<Self> {
        let tree = self;
        match access {
            Access::ReadOnly => tree.restrict(
                libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV,
            )?,
            Access::Device => tree.restrict(
                libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NOEXEC,
            )?,
            Access::Same => (),
        }
        Ok(tree)
    }

    fn restrict(&self, attributes: u64) -> io::Result<()> {
        // SAFETY: `mount_attr` is plain integers, for which zero is a value.
        let mut attr: libc::mount_attr = unsafe { std::mem::zeroed() };
        attr.attr_set = attributes;
        // SAFETY: the path is an empty NUL-terminated string, `attr` is live and its size is given.
        check(unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                self.0.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
                &raw const attr,
                size_of::<libc::mount_attr>(),
            )
        })?;
        Ok(())
    }

    /// Makes the tree visible at `target`, which is a directory if the tree is one.
    pub(crate) fn attach(self, target: &Path) -> io::Result<()> {
        let target = c_path(target)?;
        // SAFETY: both paths are NUL-terminated strings that outlive the call.
        check(unsafe {
            libc::syscall(
                libc::SYS_move_mount,
                self.0.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_FDCWD,
                target.as_ptr(),
                libc::MOVE_MOUNT_F_EMPTY_PATH,
            )
        })?;
        Ok(())
    }
}

/// Keeps mounts made here from reaching the namespace that this one was copied from.
pub(crate) fn make_private() -> io::Result<()> {
    // SAFETY: source, type and data may be null for a change of propagation.
    check(i64::from(unsafe {
        libc::mount(
            ptr::null(),
            c"/".as_ptr(),
            ptr::null(),
            libc::MS_REC | libc::MS_PRIVATE,
            ptr::null(),
        )
    }))?;
    Ok(())
}

/// Mounts a new file system of type `kind` at `target`, without set-uid programs.
pub(crate) fn mount_new(kind: &str, target: &Path, flags: u64, options: &str) -> io::Result<()> {
    let (kind, target, options) = (CString::new(kind)?, c_path(target)?, CString::new(options)?);
    // SAFETY: all strings are NUL-terminated and outlive the call.
    check(i64::from(unsafe {
        libc::mount(
            kind.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            libc::MS_NOSUID | flags,
            options.as_ptr().cast(),
        )
    }))?;
    Ok(())
}

/// Makes the working directory, which must be a mount, the root, and lets go of the old root.
pub(crate) fn pivot_here() -> io::Result<()> {
    // SAFETY: both paths are NUL-terminated; the old root is stacked on the new one, as pivot_root(2) describes.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) })?;
    // SAFETY: the path is NUL-terminated.
    check(i64::from(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) }))?;
    Ok(())
}

fn usage(path: &Path) -> io::Result<libc::statvfs> {
    let path = c_path(path)?;
    // SAFETY: `statvfs` is plain integers, for which zero is a value.
    let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: `path` is NUL-terminated and `found` is live.
    check(i64::from(unsafe { libc::statvfs(path.as_ptr(), &raw mut found) }))?;
    Ok(found)
}

/// Bytes in use on the file system at `path`.
pub(crate) fn used_bytes(path: &Path) -> io::Result<u64> {
    let found = usage(path)?;
    Ok((found.f_blocks - found.f_bfree) * found.f_frsize)
}

/// Whether no byte or no file more has room on the file system at `path`.
pub(crate) fn is_full(path: &Path) -> bool {
    usage(path).is_ok_and(|found| found.f_bfree == 0 || found.f_ffree == 0)
}

/// Bytes of a page of memory.
pub(crate) fn page_bytes() -> u64 {
    // SAFETY: always allowed.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.cast_unsigned()
}

/// Whether a mount begins at `path`.
pub(crate) fn is_mount_point(path: &Path) -> io::Result<bool> {
    let path = c_path(path)?;
    // SAFETY: `statx` is plain integers, for which zero is a value.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    let flags = libc::AT_SYMLINK_NOFOLLOW;
    // SAFETY: `path` is NUL-terminated and `found` is live.
    check(i64::from(unsafe {
        libc::statx(libc::AT_FDCWD, path.as_ptr(), flags, 0, &raw mut found)
    }))?;
    Ok(found.stx_attributes & libc::STATX_ATTR_MOUNT_ROOT as u64 != 0)
}
