//! A harness that is killed while it unpacks a root file system.

use std::fs;
use std::path::Path;
use std::process::{Child, Command as HostCommand, ExitCode};
use std::thread;

use lapwing_sandbox::{Images, Native};

use crate::image_files::{Archive, Place};
use crate::{Suite, output};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("unpacking_that_is_killed_half_way_begins_anew_and_leaves_nothing", half_way);
}

/// The argument of a harness that unpacks; a colon stands between what and into which cache.
const UNPACK: &str = "--unpack=";
const FILES: usize = 4_000;
/// A kill that comes too late, because nobody let this process run meanwhile, is tried again.
const TRIES: usize = 100;

/// What such a harness is to do, from its argument.
pub(crate) fn order(argument: &str) -> Option<(String, String)> {
    let (what, cache) = argument.strip_prefix(UNPACK)?.split_once(':')?;
    Some((what.to_owned(), cache.to_owned()))
}

pub(crate) fn unpack((what, cache): &(String, String)) -> ExitCode {
    Images::at(cache.into()).prepare(Path::new(what)).unwrap();
    ExitCode::SUCCESS
}

/// Such a harness, killed when it has begun to write files. Whether it was not done by then.
fn kill_half_way(what: &Path, place: &Place) -> bool {
    let mut harness = HostCommand::new(std::env::current_exe().unwrap());
    let order = format!("{UNPACK}{}:{}", what.display(), place.path("cache").display());
    let mut harness = harness.arg(order).spawn().unwrap();
    while !has_begun(place) && !has_ended(&mut harness) {
        thread::yield_now();
    }
    harness.kill().unwrap();
    harness.wait().unwrap();
    let left = place.left();
    left.len() == 1 && left[0].starts_with("making-")
}

fn has_begun(place: &Place) -> bool {
    let making = place.left().into_iter().find(|name| name.starts_with("making-"));
    making.is_some_and(|name| place.path("cache").join(name).join("tree/many/0").exists())
}

fn has_ended(harness: &mut Child) -> bool {
    harness.try_wait().unwrap().is_some()
}

async fn half_way(native: Native) {
    let place = Place::new();
    let mut archive = Archive::of(&place.root());
    for number in 0..FILES {
        archive = archive.file(&format!("many/{number}"), "x");
    }
    let what = place.path("image.tar");
    fs::write(&what, archive.bytes()).unwrap();
    let is_half_way = (0..TRIES).any(|_| {
        let _ = fs::remove_dir_all(place.path("cache"));
        kill_half_way(&what, &place)
    });
    assert!(is_half_way, "it was always done before it was killed");
    assert_eq!(place.images().list().unwrap(), []);
    let sandbox = place.sandbox(&native, &what).await;
    assert_eq!(place.left().len(), 1, "{:?}", place.left());
    assert_eq!(place.images().list().unwrap().len(), 1);
    let count = "set -- /many/*; echo $#; cat /many/0 /many/3999";
    assert_eq!(output(&*sandbox, count).await, format!("{FILES}\nxx"));
}
