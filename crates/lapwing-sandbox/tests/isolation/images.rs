//! Root file systems beside the host's: folders, archives, images; what is written over them, and what hostile ones do.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use lapwing_core::{Change, ChangeKind, Digest, ExitStatus, Limits, Provider as _};
use lapwing_sandbox::Native;
use serde_json::json;

use crate::image_files::{Archive, Place, configuration, gzip, write_layout, zstandard};
use crate::{Suite, output, run};

pub(crate) fn add(suite: &mut Suite) {
    suite.test("a_folder_becomes_the_root_and_the_host_is_not_there", folder);
    suite.test("what_is_changed_over_an_image_is_told_and_nothing_else", changes);
    suite.test("the_limits_hold_over_an_image", limits);
    suite.test("an_oci_layout_with_layers_of_every_compression_is_unpacked", layout);
    suite.test("archives_of_docker_save_old_and_new_are_one_image", docker);
    suite.test("a_plain_archive_compressed_or_not_is_a_root", plain);
    suite.test("hostile_archives_reach_nothing_outside", hostile);
    suite.test("links_of_an_image_lead_set_up_nowhere_outside", links);
    suite.test("an_image_whose_bytes_are_not_its_digests_is_refused_and_leaves_nothing", forged);
    suite.test("what_is_no_root_is_refused_with_what_would_be_one", no_root);
    suite.test("the_cache_unpacks_once_and_is_cleaned_but_for_what_is_used", cache);
}

/// What changed, without the time at which it did.
fn told(changes: &[Change]) -> Vec<(String, Vec<ChangeKind>)> {
    changes.iter().map(|change| (change.path.clone(), change.kinds.clone())).collect()
}

async fn folder(native: Native) {
    let place = Place::new();
    let sandbox = place.sandbox(&native, &place.root()).await;
    assert_eq!(
        output(&*sandbox, "cat /opt/data/deep/c; id -un; echo $HOME").await,
        "deep/cagent\n/home/agent"
    );
    assert_eq!(
        output(&*sandbox, "ls /usr/bin /usr/lib/python3 2>&1 | head -c 0; ls /bin | head -1").await,
        "bash"
    );
    assert_eq!(
        output(&*sandbox, "echo hi > /opt/data/a; cat /opt/data/a; stat -c %U:%a /opt/data/b")
            .await,
        "hi\nagent:644"
    );
    // Written over, not into.
    assert_eq!(fs::read_to_string(place.path("root/opt/data/a")).unwrap(), "a");
    let second = place.sandbox(&native, &place.path("root")).await;
    assert_eq!(output(&*second, "cat /opt/data/a").await, "a");
    let denied = "ls /etc/shadow /root/x /sys /lower0 /upper /tmp/upper 2>/dev/null; echo none";
    assert_eq!(output(&*second, denied).await, "none");
    let mounts = output(&*second, "cat /proc/self/mountinfo").await;
    assert!(!mounts.contains(place.path("cache").to_str().unwrap()), "{mounts}");
}

async fn changes(native: Native) {
    let place = Place::new();
    let sandbox = place.sandbox(&native, &place.root()).await;
    let before = sandbox.manifest().await.unwrap();
    assert!(before.entries.len() < 60, "the image is listed: {:?}", before.entries.keys());
    assert!(!before.entries.contains_key("/opt/data/a"));
    let script =
        "cd /opt/data; echo new > a; rm b; chmod 600 deep/c; echo x > deep/new; touch /etc/passwd";
    output(&*sandbox, script).await;
    let first = sandbox.manifest().await.unwrap();
    let expected = [
        ("/opt/data/a", vec![ChangeKind::Content]),
        ("/opt/data/b", vec![ChangeKind::Removed]),
        ("/opt/data/deep/c", vec![ChangeKind::Mode]),
        ("/opt/data/deep/new", vec![ChangeKind::Created]),
    ];
    let owned = |expected: &[(&str, Vec<ChangeKind>)]| -> Vec<(String, Vec<ChangeKind>)> {
        expected.iter().map(|(path, kinds)| ((*path).to_owned(), kinds.clone())).collect()
    };
    assert_eq!(told(&before.changes_to(&first)), owned(&expected));
    let content = before.changes_to(&first).remove(0);
    assert_eq!(content.before.unwrap().digest, Some(Digest::of(b"a")));
    // A folder that is removed and made again hides what it had.
    output(&*sandbox, "cd /opt; rm -r data; mkdir data; echo a > data/z; mv /bin/touch /bin/tap")
        .await;
    let second = sandbox.manifest().await.unwrap();
    let expected = [
        ("/bin/tap", vec![ChangeKind::Created]),
        ("/bin/touch", vec![ChangeKind::Removed]),
        ("/opt/data/a", vec![ChangeKind::Removed]),
        ("/opt/data/deep", vec![ChangeKind::Removed]),
        ("/opt/data/deep/c", vec![ChangeKind::Removed]),
        ("/opt/data/deep/new", vec![ChangeKind::Removed]),
        ("/opt/data/z", vec![ChangeKind::Created]),
    ];
    assert_eq!(told(&first.changes_to(&second)), owned(&expected));
    assert_eq!(output(&*sandbox, "ls /opt/data").await, "z");
    // Paths of the image can be protected like others.
    sandbox.protect(&["/opt/data".to_owned(), "/bin/cat".to_owned()]).await.unwrap();
    let refused = "echo x > /opt/data/z || rm /bin/cat || rm -r /opt || mv /bin /b || echo kept";
    assert_eq!(output(&*sandbox, refused).await, "kept");
}

async fn limits(native: Native) {
    let place = Place::new();
    let limits = Limits { disk_bytes: 8 << 20, ..Limits::default() };
    let sandbox = place.limited(&native, &place.root(), limits).await;
    let status = run(&*sandbox, "exec head -c 20M /dev/zero > big").await.status;
    assert_eq!(status, ExitStatus::DiskFull { code: 1 });
    assert_eq!(output(&*sandbox, "rm big; stat -f -c %T / | head -c 0; echo ok").await, "ok");
    assert!(sandbox.get("/opt/data/a", 10).await.unwrap().is_some());
    assert_eq!(output(&*sandbox, "id -u; mkdir /sys 2>&1; ls -d /sys").await, "1000\n/sys");
}

async fn layout(native: Native) {
    let place = Place::new();
    let root = Archive::of(&place.root()).bytes();
    let second = Archive::new()
        .file("opt/data/.wh.a", "")
        .file("opt/data/new", "second")
        .file("opt/data/deep/mine", "kept")
        .file("opt/data/deep/.wh..wh..opq", "")
        .entry(tar::EntryType::Link, "opt/data/linked", "opt/data/b", b"")
        .bytes();
    let third = Archive::new().file("opt/tools/hello", "#!/bin/sh\necho tool $COLOUR\n").bytes();
    let layout = place.path("layout");
    write_layout(
        &layout,
        &[(&root, gzip(&root)), (&second, second.clone()), (&third, zstandard(&third))],
    );
    let sandbox = place.sandbox(&native, &layout).await;
    let seen = "cd /opt/data; ls; ls deep; cat linked; stat -c %h linked; sh -c 'echo $COLOUR $HOME $PATH'";
    let expected =
        "b\ndeep\nlinked\nnew\nmine\nb2\ngreen /home/agent /usr/local/bin:/opt/tools:/bin";
    assert_eq!(output(&*sandbox, seen).await, expected);
    // The layout as an archive is the same image.
    fs::write(place.path("layout.tar"), Archive::of(&layout).bytes()).unwrap();
    let again = place.images().prepare(&place.path("layout.tar")).unwrap();
    assert_eq!(place.images().prepare(&layout).unwrap(), again);
    assert_eq!(again.facts.kind, "OCI layout, 3 layers");
}

async fn docker(native: Native) {
    let place = Place::new();
    let root = Archive::of(&place.root()).bytes();
    let config = configuration(&[&root]);
    let saved = json!([{ "Config": "c.json", "RepoTags": ["x:1"], "Layers": ["1/layer.tar"] }]);
    let saved = serde_json::to_string(&saved).unwrap();
    let old = Archive::new()
        .file("c.json", std::str::from_utf8(&config).unwrap())
        .entry(tar::EntryType::Regular, "0/layer.tar", "", &root)
        .entry(tar::EntryType::Symlink, "1/layer.tar", "../0/layer.tar", b"")
        .file("manifest.json", &saved);
    fs::write(place.path("old.tar.gz"), gzip(&old.bytes())).unwrap();
    let old = place.images().prepare(&place.path("old.tar.gz")).unwrap();
    assert_eq!(
        (old.facts.digest, old.facts.kind.as_str()),
        (Digest::of(&config), "docker archive, 1 layer")
    );
    // Newer ones are an OCI layout with the old documents beside it.
    let layout = place.path("new");
    write_layout(&layout, &[(&root, root.clone())]);
    fs::write(layout.join("manifest.json"), saved).unwrap();
    fs::write(place.path("new.tar"), Archive::of(&layout).bytes()).unwrap();
    assert_eq!(place.images().prepare(&place.path("new.tar")).unwrap(), old);
    let sandbox = place.sandbox(&native, &place.path("new.tar")).await;
    assert_eq!(output(&*sandbox, "cat /opt/data/b").await, "b");
    let two = json!([{ "Config": "c", "RepoTags": ["x:1"], "Layers": [] }, { "Config": "d", "Layers": [] }]);
    let two = Archive::new().file("manifest.json", &two.to_string()).bytes();
    fs::write(place.path("two.tar"), two).unwrap();
    let error = place.images().prepare(&place.path("two.tar")).unwrap_err();
    assert!(error.to_string().contains("it holds 2 images (x:1); save one alone"), "{error}");
}

async fn plain(native: Native) {
    let place = Place::new();
    let bytes = Archive::of(&place.root()).bytes();
    for (name, bytes) in [("a.tar", bytes.clone()), ("a.tar.zst", zstandard(&bytes))] {
        fs::write(place.path(name), bytes).unwrap();
        let sandbox = place.sandbox(&native, &place.path(name)).await;
        assert_eq!(output(&*sandbox, "cat /opt/data/b").await, "b", "{name}");
    }
    assert_eq!(place.left().len(), 1);
}

async fn hostile(native: Native) {
    let place = Place::new();
    let root = place.root();
    let outside = place.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), "whole").unwrap();
    let away = outside.to_str().unwrap();
    let prepare = |name: &str, archive: Archive| {
        fs::write(place.path(name), archive.bytes()).unwrap();
        place.images().prepare(&place.path(name))
    };
    for (name, archive) in [
        ("up", Archive::of(&root).file("../outside/up", "x")),
        ("far", Archive::of(&root).file("opt/../../outside/up", "x")),
        (
            "link",
            Archive::of(&root).entry(tar::EntryType::Link, "stolen", "../outside/victim", b""),
        ),
        ("nothing", Archive::of(&root).entry(tar::EntryType::Link, "stolen", "not/there", b"")),
        ("white", Archive::of(&root).file(".wh...", "")),
    ] {
        let error = prepare(name, archive).unwrap_err().to_string();
        assert!(error.contains("cannot be used"), "{name}: {error}");
    }
    assert_eq!(place.left(), [""; 0]);
    let archive = Archive::of(&root)
        .entry(tar::EntryType::Symlink, "door", away, b"")
        .file("door/planted", "x")
        .entry(tar::EntryType::Symlink, "victim", &format!("{away}/victim"), b"")
        .file("victim", "over")
        .entry(tar::EntryType::Symlink, "old", away, b"")
        .file("old/.wh.victim", "")
        .file("old/.wh..wh..opq", "")
        .entry(tar::EntryType::Link, "hard", &format!("{away}/victim"), b"")
        .file(&format!("{away}/absolute"), "x");
    // A link to an absolute path means one inside, where nothing is.
    assert!(prepare("absolute-link", archive).is_err());
    let archive = Archive::of(&root)
        .entry(tar::EntryType::Symlink, "door", away, b"")
        .file("door/planted", "x")
        .entry(tar::EntryType::Symlink, "victim", &format!("{away}/victim"), b"")
        .file("victim", "over")
        .entry(tar::EntryType::Symlink, "old", away, b"")
        .file("old/.wh.victim", "")
        .file(&format!("{away}/absolute"), "x")
        .entry(tar::EntryType::Char, "dev/mem", "", b"")
        .entry(tar::EntryType::Fifo, "fifo", "", b"")
        .file("twice", "first")
        .entry(tar::EntryType::Directory, "twice", "", b"")
        .file("twice", "second")
        .entry(tar::EntryType::Directory, "opt/data/a", "", b"");
    let prepared = prepare("inside", archive).unwrap();
    assert_eq!(prepared.facts.left_out, 2);
    let mut left: Vec<_> = fs::read_dir(&outside).unwrap().flatten().collect();
    assert_eq!(left.len(), 1);
    assert_eq!(fs::read_to_string(left.remove(0).path()).unwrap(), "whole");
    let sandbox = place.sandbox(&native, &place.path("inside")).await;
    let seen = format!(
        "cat /twice /victim /door/planted {away}/absolute; ls -d /dev/mem /fifo 2>/dev/null; stat -c %F /opt/data/a"
    );
    assert_eq!(output(&*sandbox, &seen).await, "secondoverxxdirectory");
}

async fn links(native: Native) {
    let place = Place::new();
    let root = place.root();
    let victim = place.path("victim");
    fs::write(&victim, "whole").unwrap();
    fs::set_permissions(place.path(""), Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(&victim, Permissions::from_mode(0o666)).unwrap();
    for name in ["hosts", "hostname", "resolv.conf", "group"] {
        symlink(&victim, root.join("etc").join(name)).unwrap();
    }
    fs::remove_file(root.join("etc/passwd")).unwrap();
    symlink(&victim, root.join("etc/passwd")).unwrap();
    for name in ["dev", "proc", "tmp", "home", "run"] {
        symlink(place.path(""), root.join(name)).unwrap();
    }
    let sandbox = place.sandbox(&native, &root).await;
    assert_eq!(
        output(&*sandbox, "cat /etc/hostname; id -un; ls -d /proc/1; echo x > /tmp/mine").await,
        "workstation\nagent\n/proc/1"
    );
    assert_eq!(fs::read_to_string(&victim).unwrap(), "whole");
    let here: Vec<_> =
        fs::read_dir(place.path("")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(here.len(), 3, "{here:?}");
}

async fn forged(_native: Native) {
    let place = Place::new();
    let root = Archive::of(&place.root()).bytes();
    let other = Archive::new().file("bin/sh", "other").bytes();
    let try_layout = |name: &str, layers: &[(&[u8], Vec<u8>)], spoil: &dyn Fn(&Path)| {
        write_layout(&place.path(name), layers);
        spoil(&place.path(name));
        let error = place.images().prepare(&place.path(name)).unwrap_err().to_string();
        assert_eq!(place.left(), [""; 0], "{name}");
        error
    };
    // The content is not that of the configuration.
    let error = try_layout("content", &[(&root, other.clone())], &|_| {});
    assert!(error.contains("its bytes are not those"), "{error}");
    // The stored bytes are not those of the manifest: appended, then cut.
    let stored = gzip(&root);
    let file = format!("blobs/sha256/{}", Digest::of(&stored));
    let error = try_layout("appended", &[(&root, stored.clone())], &|folder| {
        File::options()
            .append(true)
            .open(folder.join(&file))
            .unwrap()
            .write_all(&[0; 512])
            .unwrap();
    });
    assert!(error.contains("layer"), "{error}");
    let error = try_layout("cut", &[(&root, stored.clone())], &|folder| {
        fs::write(folder.join(&file), &stored[..stored.len() / 2]).unwrap();
    });
    assert!(error.contains("layer"), "{error}");
    let error = try_layout("missing", &[(&root, stored.clone())], &|folder| {
        fs::remove_file(folder.join(&file)).unwrap();
    });
    assert!(error.contains("it is missing"), "{error}");
    let error = try_layout("index", &[(&root, stored.clone())], &|folder| {
        fs::write(folder.join("index.json"), "{").unwrap();
    });
    assert!(error.contains("index.json cannot be read"), "{error}");
}

async fn no_root(native: Native) {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    fs::write(
        place.path("text"),
        "no archive at all, but long enough to hold a header ".repeat(40),
    )
    .unwrap();
    fs::write(place.path("little.tar"), Archive::new().file("x", "y").bytes()).unwrap();
    let native = native.with_images(place.images());
    for name in ["empty", "text", "little.tar", "missing"] {
        let error = native.prepare(&place.path(name)).await.unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("cannot be used"), "{error}");
    }
    assert_eq!(place.left(), [""; 0]);
}

async fn cache(native: Native) {
    let place = Place::new();
    let (root, images) = (place.root(), place.images());
    let first = images.prepare(&root).unwrap();
    let marker = first.path.join("marker");
    fs::write(&marker, "").unwrap();
    // What a harness that was killed left, and what one that lives is making.
    let making = |owner: &str| place.path("cache").join(format!("making-{owner}.0"));
    fs::create_dir_all(making("4000000000-7").join("tree/closed")).unwrap();
    fs::set_permissions(making("4000000000-7").join("tree/closed"), Permissions::from_mode(0o0))
        .unwrap();
    let sandbox = place.sandbox(&native, &root).await;
    assert!(marker.exists() && !making("4000000000-7").exists());
    assert_eq!(images.list().unwrap(), std::slice::from_ref(&first));
    let (removed, used) = images.clean().unwrap();
    assert_eq!((removed.len(), used), (0, vec![first.clone()]));
    drop(sandbox);
    // The provider of the sandbox, and with it what it prepared, is gone.
    let (removed, used) = images.clean().unwrap();
    assert_eq!((removed, used.len()), (vec![first], 0));
    assert_eq!(place.left(), [""; 0]);
    fs::write(root.join("opt/data/a"), "changed").unwrap();
    let changed = place.sandbox(&native, &root).await;
    assert_eq!(output(&*changed, "cat /opt/data/a").await, "changed");
}
