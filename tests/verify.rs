//! `vrift verify`: each kind of damage is made, found by its name and nothing else with it,
//! repaired where that can be, and named as lost where it cannot.

mod support;

#[path = "support/damage.rs"]
mod damage;

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use damage::*;
use serde_json::Value;
use support::World;

#[test]
fn a_store_in_use_is_sound() {
    needs_sessions!();
    let world = full();
    clean(&world);
    world.sh("mkdir large; cd large; seq 3000 | xargs touch").ok();
    clean(&world);
    let said = world.run(["verify"]);
    assert_eq!(said.stdout(), "");
    assert!(said.stderr().contains("1 project: all is well"), "{}", said.stderr());
    // beside a live run, and with what that has written so far
    let script = "echo begun > begun; echo ready; read line";
    let mut live = world.vrift();
    live.args(["exec", "sh", "-c", script]).stdin(std::process::Stdio::piped());
    let mut live = live.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 5];
    std::io::Read::read_exact(live.stdout.as_mut().unwrap(), &mut ready).unwrap();
    clean(&world);
    drop(live.stdin.take());
    live.wait().unwrap();
    clean(&world);
}

#[test]
fn lower_trees_of_real_files_are_sound_and_their_damage_is_found() {
    needs_sessions!();
    for projection in ["hardlink", "copy"] {
        let world = World::new();
        for name in ["a", "b", "d/c"] {
            world.write(name, format!("of {name}\n"));
        }
        world.write("same as a", "of a\n");
        let run = |script: &str| world.run(["exec", "--projection", projection, "sh", "-c", script]);
        run("echo x > x; ln x y; chmod 400 b; mkfifo p").ok();
        run("echo more >> a; rm d/c").ok();
        clean(&world);
        let file = base(&world).join("x");
        overwrite(&file, "X\n");
        touch(&file, 7);
        let (found, _) = verify(&world, &["--deep"]);
        let places: Vec<_> = found.iter().filter(|(what, ..)| what == "lower-differs").collect();
        assert!(places.iter().any(|(_, place, _)| place.ends_with("/x")), "{projection}: {found:#?}");
        let (found, report) = verify(&world, &["--deep", "--repair"]);
        assert!(found.is_empty(), "{projection}: {report:#}");
        assert_eq!(run("cat a b x y").ok(), "of a\nmore\nof b\nx\nx\n", "{projection}");
    }
}

#[test]
fn damaged_objects_are_found_and_come_back_from_the_host() {
    needs_sessions!();
    let world = full();
    let host = object(&world, "as on the host\n");
    let end = host.file_name().unwrap().to_str().unwrap().to_string();
    damaged(&world, &[], || std::fs::remove_file(&host).unwrap(), &[("object-missing", &end)]);
    damaged(&world, &[], || overwrite(&host, "shorter\n"), &[("object-size", &end)]);
    let other = || overwrite(&host, "as on the HOST\n");
    damaged(&world, &["--deep"], other, &[("object-digest", &end)]);
    damaged(&world, &[], || chmod(&host, 0o4444), &[("object-mode", &end)]);
    damaged(&world, &[], || chmod(&host, 0o0), &[("object-mode", &end)]);
    let stray = world.store.join("objects/stray");
    damaged(&world, &[], || std::fs::write(&stray, "?").unwrap(), &[("stray", "objects/stray")]);
    let stray = host.with_file_name("not an object");
    damaged(&world, &[], || std::fs::create_dir(&stray).unwrap(), &[("stray", "not an object")]);
    // one that nothing needs would be trusted by who stores the same content again
    let unneeded = object(&world, "unneeded\n");
    std::fs::create_dir_all(unneeded.parent().unwrap()).unwrap();
    std::fs::write(&unneeded, "UNNEEDED\n").unwrap();
    finds(&world, &[], &[]);
    let end = unneeded.file_name().unwrap().to_str().unwrap().to_string();
    damaged(&world, &["--deep"], || (), &[("object-digest", &end)]);
    assert_eq!(world.sh("echo unneeded > new; cat new").ok(), "unneeded\n");
    // a layer has one, too
    let twig = object(&world, "twig\n");
    let end = twig.file_name().unwrap().to_str().unwrap().to_string();
    damaged(&world, &[], || std::fs::remove_file(&twig).unwrap(), &[("object-missing", &end)]);
    // nothing damaged was deleted
    let kept = std::fs::read_dir(world.store.join("quarantine")).unwrap().flatten();
    let texts: Vec<_> = kept.filter_map(|entry| std::fs::read_to_string(entry.path()).ok()).collect();
    for text in ["shorter\n", "as on the HOST\n", "?", "UNNEEDED\n"] {
        assert!(texts.iter().any(|kept| kept == text), "{text:?} in {texts:?}");
    }
}

#[test]
fn damaged_trees_come_back_from_another_project() {
    needs_sessions!();
    let world = full();
    let other = world.path().join("other");
    assert!(world.command("cp").arg("-a").args([&world.project, &other]).status().unwrap().success());
    world.run(["-C", other.to_str().unwrap(), "exec", "true"]).ok();
    let count = |sql: &str| database(&world).execute(sql, []).unwrap();
    // the body that has `b.c` in it: the directory `src/deep`
    let of_deep = "instr(body, x'622e63') > 0";
    let digest: String = database(&world)
        .query_row(&format!("SELECT lower(hex(digest)) FROM tree WHERE {of_deep}"), [], |row| row.get(0))
        .unwrap();
    let delete = || assert_eq!(count(&format!("DELETE FROM tree WHERE {of_deep}")), 1);
    // what sync saw of the directory names it, too
    let missing = [("tree-missing", digest.as_str()), ("root-missing", &digest)];
    damaged(&world, &[], delete, &missing);
    let change = || {
        assert_eq!(count(&format!("UPDATE tree SET body = CAST(body || x'00' AS BLOB) WHERE {of_deep}")), 1)
    };
    damaged(&world, &[], change, &[("tree-digest", &digest)]);
    let garbage = vrift::cas::Digest::of(b"garbage");
    let insert = || {
        let row = (garbage.as_bytes(), &b"garbage"[..]);
        database(&world).execute("INSERT INTO tree VALUES(?1, ?2)", row).unwrap();
    };
    damaged(&world, &[], insert, &[("tree-broken", &garbage.hex())]);
    assert_eq!(std::fs::read(world.store.join(format!("quarantine/tree-{garbage}"))).unwrap(), b"garbage");
}

#[test]
fn a_damaged_manifest_is_found_and_its_indexes_are_made_anew() {
    needs_sessions!();
    let world = full();
    let damage = || {
        let connection = database(&world);
        let schema = "name = 'head_by_workspace'";
        connection
            .execute_batch(&format!(
                "PRAGMA writable_schema = ON; CREATE TEMP TABLE kept AS SELECT * FROM sqlite_schema WHERE {schema};
                 DELETE FROM sqlite_schema WHERE {schema}; PRAGMA writable_schema = RESET;"
            ))
            .unwrap();
        let copy = "INSERT INTO head(workspace, root, cause, at) SELECT workspace, root, cause, at FROM head LIMIT 1";
        connection.execute(copy, []).unwrap();
        connection
            .execute_batch(
                "PRAGMA writable_schema = ON; INSERT INTO sqlite_schema SELECT * FROM kept;
                 PRAGMA writable_schema = RESET;",
            )
            .unwrap();
    };
    damage();
    let (found, _) = verify(&world, &[]);
    assert!(!found.is_empty() && found.iter().all(|(what, ..)| what == "manifest-broken"), "{found:#?}");
    assert!(found.iter().any(|(.., detail)| detail.contains("missing from index")), "{found:#?}");
    verify(&world, &["--repair"]);
    clean(&world);
    // rows that name rows that are not there, and garbage, are told and left alone
    let row =
        "INSERT INTO merged(workspace, other, root, head) SELECT 999, 1, head, 1 FROM workspace WHERE id = 1";
    database(&world).execute_batch(&format!("PRAGMA foreign_keys = OFF; {row}")).unwrap();
    finds(&world, &["--repair"], &[("row-foreign", "manifest.db")]);
    let path = world.project_dir().join("manifest.db");
    for text in [&b"garbage"[..], b""] {
        for ending in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{ending}", path.display()));
        }
        std::fs::write(&path, text).unwrap();
        finds(&world, &["--repair"], &[("manifest-broken", "manifest.db")]);
        assert_eq!(std::fs::read(&path).unwrap(), text);
    }
}

fn each_damage_of_a_stub(world: &World) {
    let lower = || base(world);
    let differs = |path: &'static str| [("lower-differs", path)];
    let longer = || std::fs::File::options().write(true).open(lower().join("host only")).unwrap();
    let host_only = || {
        let before = lower().join("host only").metadata().unwrap().modified().unwrap();
        let file = longer();
        file.set_len(99).unwrap();
        file.set_times(std::fs::FileTimes::new().set_modified(before)).unwrap();
    };
    damaged(world, &[], host_only, &differs("host only"));
    let redirect = || set_attribute(&lower().join("host only"), "user.overlay.redirect", b"/xx/elsewhere");
    damaged(world, &[], redirect, &differs("host only"));
    let no_stub = || {
        let path = CString::new(lower().join("host only").as_os_str().as_bytes()).unwrap();
        rustix::fs::removexattr(&path, "user.overlay.metacopy").unwrap();
    };
    damaged(world, &[], no_stub, &differs("host only"));
}

#[test]
fn each_difference_of_a_lower_tree_is_found_and_rendered_away() {
    needs_sessions!();
    let world = full();
    let lower = || base(&world);
    let file = || lower().join("src/a.c");
    let differs = |path: &'static str| [("lower-differs", path)];
    damaged(
        &world,
        &[],
        || chmod(&lower().join("out/one"), 0o644),
        &[("lower-differs", "out/one"), ("lower-differs", "out/two")],
    );
    damaged(&world, &[], || touch(&lower().join("src/deep/b.c"), 5), &differs("src/deep/b.c"));
    damaged(&world, &[], || touch(&lower().join("src/deep"), 5), &differs("src/deep"));
    let attribute = || set_attribute(&lower().join("src/deep/b.c"), "user.new", b"1");
    damaged(&world, &[], attribute, &differs("src/deep/b.c"));
    let opaque = || set_attribute(&lower().join("many"), "user.added", b"y");
    damaged(&world, &[], opaque, &differs("many"));
    if !world.links_objects() {
        each_damage_of_a_stub(&world); // a file that is linked is the object itself
    }
    let gone = || quietly(&lower().join("many"), || std::fs::remove_file(lower().join("many/9")).unwrap());
    damaged(&world, &[], gone, &differs("many/9"));
    let more = || quietly(&lower(), || std::fs::write(lower().join("more"), "").unwrap());
    damaged(&world, &[], more, &differs("more"));
    let kind = || {
        quietly(&lower().join("out"), || {
            std::fs::remove_file(lower().join("out/pipe")).unwrap();
            std::fs::create_dir(lower().join("out/pipe")).unwrap();
        });
    };
    damaged(&world, &[], kind, &differs("out/pipe"));
    let target = || {
        quietly(&lower(), || {
            let (path, time) = (lower().join("link"), lower().join("link").symlink_metadata().unwrap());
            std::fs::remove_file(&path).unwrap();
            symlink("src/b.c", &path).unwrap();
            let (tv_sec, tv_nsec) = (
                std::os::unix::fs::MetadataExt::mtime(&time),
                std::os::unix::fs::MetadataExt::mtime_nsec(&time),
            );
            let time = rustix::fs::Timespec { tv_sec, tv_nsec };
            let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
            let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::utimensat(rustix::fs::CWD, &path, &times, flags).unwrap();
        });
    };
    damaged(&world, &[], target, &differs("link"));
    let unlinked = || {
        quietly(&lower(), || {
            let kept = world.command("cp").arg("-a").args([&file(), &lower().join("tmp")]).status().unwrap();
            assert!(kept.success());
            std::fs::rename(lower().join("tmp"), lower().join("hard")).unwrap();
        });
    };
    damaged(&world, &[], unlinked, &[("lower-differs", "hard"), ("lower-differs", "src/a.c")]);
    let unmarked = || rustix::fs::removexattr(lower(), "user.vrift.root").unwrap();
    let name = lower().file_name().unwrap().to_str().unwrap().to_string();
    damaged(&world, &[], unmarked, &[("lower-missing", &format!("base/{name}"))]);
    let removed = || std::fs::remove_dir_all(lower()).unwrap();
    damaged(&world, &[], removed, &[("lower-missing", &format!("base/{name}"))]);
}

#[test]
fn each_difference_of_a_layer_is_found_and_rendered_away() {
    needs_sessions!();
    let world = full();
    // the layer that has it; after a repair another one
    let layers = || -> Vec<PathBuf> {
        let entries = std::fs::read_dir(world.project_dir().join("layers")).unwrap().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    let with = |path: &str| -> PathBuf {
        let found = layers().into_iter().find(|layer| layer.join(path).symlink_metadata().is_ok());
        found.unwrap_or_else(|| panic!("no layer has {path}")).join(path)
    };
    let differs = |path: &'static str| [("layer-differs", path)];
    damaged(&world, &[], || chmod(&with("twig"), 0o600), &differs("/twig"));
    damaged(&world, &[], || touch(&with("twig"), 5), &differs("/twig"));
    let gone = || quietly(with("twig").parent().unwrap(), || std::fs::remove_file(with("twig")).unwrap());
    damaged(&world, &[], gone, &differs("/twig"));
    let shown =
        || quietly(with("many/3").parent().unwrap(), || std::fs::remove_file(with("many/3")).unwrap());
    damaged(&world, &[], shown, &differs("/many/3"));
    let more = || {
        let dir = with("many");
        quietly(&dir, || std::fs::write(dir.join("more"), "").unwrap());
    };
    damaged(&world, &[], more, &differs("/many/more"));
    let hidden = || {
        let dir = with("src");
        quietly(&dir, || {
            let whiteout = rustix::fs::FileType::CharacterDevice;
            let mode = rustix::fs::Mode::empty();
            rustix::fs::mknodat(rustix::fs::CWD, dir.join("a.c"), whiteout, mode, 0).unwrap();
        });
    };
    damaged(&world, &[], hidden, &differs("/src/a.c"));
    let other = || {
        // not the object's own inode, whatever the layer shared
        let path = with("twig");
        let time = path.metadata().unwrap().modified().unwrap();
        quietly(path.parent().unwrap(), || {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, "TWIG\n").unwrap();
        });
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_times(std::fs::FileTimes::new().set_modified(time)).unwrap();
    };
    damaged(&world, &["--deep"], other, &differs("/twig"));
    let top = layer(&world);
    let name = format!("layers/{}", top.file_name().unwrap().to_str().unwrap());
    damaged(
        &world,
        &[],
        || rustix::fs::removexattr(&top, "user.vrift.root").unwrap(),
        &[("layer-missing", &name)],
    );
    let top = layer(&world);
    let name = format!("layers/{}", top.file_name().unwrap().to_str().unwrap());
    damaged(&world, &[], || std::fs::remove_dir_all(&top).unwrap(), &[("layer-missing", &name)]);
}

#[test]
fn strays_sessions_and_locks_are_found_and_moved_aside() {
    needs_sessions!();
    let world = full();
    let project = world.project_dir();
    let staging = project.join("staging");
    let write = |path: PathBuf, text: &str| std::fs::write(path, text).unwrap();
    damaged(&world, &[], || write(staging.join("junk"), ""), &[("stray", "staging/junk")]);
    damaged(&world, &[], || write(project.join("base/9999"), ""), &[("stray", "base/9999")]);
    damaged(&world, &[], || write(project.join("layers/x"), ""), &[("stray", "layers/x")]);
    damaged(&world, &[], || write(project.join("junk"), ""), &[("stray", "/junk")]);
    let session = staging.join("s1-1-w1");
    let broken = |text: String| {
        std::fs::create_dir_all(session.join("upper")).unwrap();
        write(session.join("upper/kept"), "written\n");
        write(session.join("session.json"), &text);
    };
    damaged(&world, &[], || broken("{".into()), &[("session-broken", "staging/s1-1-w1")]);
    let foreign = r#"{"session":"s1-1-w1","workspace":99,"workspace_name":"gone","base":1,"root":"ROOT",
        "upper_root":"","boot":"","started":1}"#;
    let foreign = foreign.replace("ROOT", &"ab".repeat(32));
    damaged(&world, &[], || broken(foreign), &[("session-foreign", "staging/s1-1-w1")]);
    let kept = std::fs::read_dir(world.store.join("quarantine")).unwrap().flatten();
    assert_eq!(kept.filter(|entry| entry.path().join("upper/kept").exists()).count(), 2);
    let lock = |path: &Path| {
        let _ = std::fs::remove_file(path);
        std::fs::create_dir(path).unwrap();
    };
    for name in ["host.lock", "sync.lock", "staging/1.lock", "base/1.lock"] {
        damaged(&world, &[], || lock(&project.join(name)), &[("lock-broken", name)]);
    }
    damaged(&world, &[], || chmod(&project.join("host.lock"), 0o0), &[("lock-broken", "host.lock")]);
    let elsewhere = || {
        std::fs::remove_file(project.join("sync.lock")).unwrap();
        symlink(world.path().join("elsewhere"), project.join("sync.lock")).unwrap();
    };
    damaged(&world, &[], elsewhere, &[("lock-broken", "sync.lock")]);
    assert!(!world.path().join("elsewhere").exists());
    if rustix::process::geteuid().is_root() {
        let spare = staging.join("1.spare");
        std::fs::create_dir_all(&spare).unwrap();
        std::os::unix::fs::chown(&spare, Some(12345), None).unwrap();
        finds(&world, &["--repair"], &[("wrong-owner", "staging/1.spare")]);
        std::os::unix::fs::chown(&spare, Some(0), None).unwrap();
    }
    clean(&world);
}

#[test]
fn a_damaged_preload_library_is_found_and_written_anew() {
    needs_sessions!();
    let world = full();
    let libraries = world.store.join("psfs");
    let library = || std::fs::read_dir(&libraries).unwrap().flatten().next().unwrap().path();
    for (name, damage) in [("x86_64.so", "other"), ("rename/x86_64.so", "empty"), ("haswell.so", "gone")] {
        let path = library().join(name);
        let length = path.metadata().unwrap().len();
        let harm = || {
            std::fs::remove_file(&path).unwrap();
            match damage {
                "other" => std::fs::write(&path, vec![0; length as usize]).unwrap(),
                "empty" => std::fs::write(&path, "").unwrap(),
                _ => {}
            }
        };
        harm();
        finds(&world, &[], &[("preload-broken", name)]);
        let (found, report) = verify(&world, &["--repair"]);
        assert!(found.is_empty(), "{report:#}");
        assert!(report["repaired"].to_string().contains("quarantine"), "{report:#}");
        assert_eq!(world.sh("mkdir -p e; mv e f; rmdir f; echo loaded").ok(), "loaded\n");
        clean(&world);
        assert_eq!(path.metadata().unwrap().len(), length);
    }
}

#[test]
fn what_is_lost_is_named_and_a_workspace_goes_back_to_a_whole_state() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "host\n");
    world.sh("echo good > kept").ok();
    world.sh("mkdir d; echo precious > d/only; echo later > kept").ok();
    world.run(["commit", "v1"]).ok();
    let precious = object(&world, "precious\n");
    std::fs::remove_file(&precious).unwrap();
    let end = precious.file_name().unwrap().to_str().unwrap().to_string();
    finds(&world, &[], &[("object-missing", &end)]);
    let (found, report) = verify(&world, &["--repair"]);
    assert_eq!(found.len(), 1, "{report:#}");
    let said = report["repaired"].to_string();
    assert!(said.contains("workspace main: back to @2"), "{said}");
    let needed = &report["found"][0]["needed_by"].as_array().unwrap();
    for state in ["snapshot v1", "@3"] {
        let is_it = |by: &&Value| by["state"] == state && by["path"] == "d/only";
        assert!(needed.iter().any(|by| is_it(&by)), "{state} in {needed:?}");
    }
    assert!(!needed.iter().any(|by| by["state"] == "workspace main"), "{needed:?}");
    assert!(report["found"][0]["remedy"].as_str().unwrap().contains("lost"));
    assert_eq!(world.sh("cat a kept; ls").ok(), "host\ngood\na\nkept\n");
    // what else the state had can still be had
    world.run(["restore", "v1", "kept"]).ok();
    assert_eq!(world.sh("cat kept").ok(), "later\n");
    // a second repair has nothing to do but to say the same
    let (found, report) = verify(&world, &["--repair"]);
    assert_eq!((found.len(), report["repaired"].as_array().unwrap().len()), (1, 0), "{report:#}");
    // written again it is there again
    world.sh("echo precious > again").ok();
    clean(&world);
}

#[test]
fn host_edits_since_the_state_that_a_repair_goes_back_to_come_in_again() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "host\n");
    world.sh("echo good > kept").ok();
    world.write("b", "an edit\n");
    world.sh("echo later > kept").ok();
    // lost, and the host has another by now
    std::fs::remove_file(object(&world, "an edit\n")).unwrap();
    world.edit("b", "another edit\n");
    let (_, report) = verify(&world, &["--repair"]);
    let said = report["repaired"].to_string();
    assert!(said.contains("workspace main: back to @"), "{said}");
    let next = world.sh("cat a b kept");
    assert_eq!(next.stdout(), "host\nanother edit\ngood\n", "{}", next.stderr());
    assert!(!next.stderr().contains("conflict"), "{}", next.stderr());
}

#[test]
fn a_state_whose_trees_are_lost_gives_way_to_one_that_is_whole() {
    needs_sessions!();
    let world = World::new();
    world.write("a", "host\n");
    world.sh("echo good > kept").ok();
    world.sh("mkdir d; echo x > d/inner").ok();
    let gone = database(&world).execute("DELETE FROM tree WHERE instr(body, CAST('inner' AS BLOB)) > 0", []);
    assert_eq!(gone.unwrap(), 1);
    let (found, _) = verify(&world, &[]);
    assert!(found.iter().all(|(what, ..)| what == "tree-missing"), "{found:#?}");
    let (found, report) = verify(&world, &["--repair"]);
    assert!(found.is_empty(), "{report:#}");
    assert_eq!(world.sh("cat a kept; ls").ok(), "host\ngood\na\nkept\n");
    clean(&world);
    world.run(["gc"]).ok();
}
