//! A quota of the filesystem's own (EDQUOT from the kernel): at whatever a verb does it is said,
//! what was there before stays, and once there is room again all goes on.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::World;
use support::whole::assert_whole;

/// A btrfs on a loop device with a subvolume that may hold so much: a limit of the whole would keep
/// itself from being raised. Gone with the value.
struct Limited {
    at: PathBuf,
    volume: PathBuf,
}

impl Limited {
    /// Why there can be none is the error.
    fn new(dir: &Path) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root may mount one".into());
        }
        let (image, at) = (dir.join("image"), dir.join("disk"));
        let made = std::fs::File::create(&image).and_then(|file| file.set_len(1 << 30));
        made.and_then(|()| std::fs::create_dir(&at)).map_err(|error| error.to_string())?;
        run("mkfs.btrfs", &["-q", "-f", image.to_str().unwrap()])?;
        run("mount", &["-o", "loop", image.to_str().unwrap(), at.to_str().unwrap()])?;
        let disk = Self { volume: at.join("volume"), at };
        run("btrfs", &["quota", "enable", disk.at.to_str().unwrap()])?;
        run("btrfs", &["subvolume", "create", disk.path()])?;
        disk.limit("none").map(|()| disk)
    }

    fn path(&self) -> &str {
        self.volume.to_str().unwrap()
    }

    fn limit(&self, size: &str) -> Result<(), String> {
        // by the number of the first subvolume, from outside of it: the change itself takes room where it is asked for
        run("btrfs", &["qgroup", "limit", size, "0/256", self.at.to_str().unwrap()])
    }

    /// Leaves so many KiB beyond what is taken by now.
    fn leave(&self, kib: u64) {
        run("sync", &["-f", self.path()]).unwrap();
        let shown =
            Command::new("btrfs").args(["qgroup", "show", "--raw", "-f", self.path()]).output().unwrap();
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        let line = text.lines().find(|line| line.trim_start().starts_with("0/")).unwrap();
        let taken: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        self.limit(&(taken + (kib << 10)).to_string()).unwrap();
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
    }
}

fn run(program: &str, words: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(words).output().map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

#[test]
fn a_quota_of_the_filesystem_is_said_and_nothing_is_lost() {
    needs_sessions!();
    let mut world = World::new();
    let disk = match Limited::new(world.path()) {
        Ok(disk) => disk,
        // few kernels and machines have what it takes: an error of that number is injected elsewhere
        Err(why) => return eprintln!("skipped: no btrfs with a quota: {why}"),
    };
    world.store = disk.volume.join("store");
    world.write("host", "host\n");
    world.sh("mkdir kept; for i in $(seq 30); do echo kept $i > kept/$i; done").ok();
    world.run(["commit", "keep"]).ok();
    let text = "0123456789abcdef".repeat(300_000);
    let mut refused = 0;
    for kib in [0, 256, 1024, 2048] {
        for verb in [
            &["sync"][..],
            &["exec", "--", "sh", "-c", "seq 600000 > out"],
            &["commit", "more"],
            &["fork", "f"],
        ] {
            let what = format!("{verb:?} with {kib} KiB left");
            world.edit("large", &format!("{what}{text}"));
            disk.leave(kib);
            let ran = world.run(verb);
            let said = ran.stderr();
            assert!(!said.contains("panicked"), "{what}: {said}");
            if ran.code() != 0 {
                refused += 1;
                let is_told = said.contains("quota") || said.contains("No space left");
                let is_ours = said.contains("error: ") && said.contains("hint: ") && is_told;
                // a command may have met the quota itself
                assert!(is_ours || verb[0] == "exec", "{what}: {}: {said}", ran.code());
            }
            disk.limit("none").unwrap();
            world.run(["recover", "--keep"]).ok();
            assert_eq!(world.sh("cat kept/30; head -c 8 large").ok(), format!("kept 30\n{}", &what[..8]));
            assert_whole(&world.store);
            for (name, kind) in [("more", &["snapshot", "delete"][..]), ("f", &["workspace", "delete"])] {
                let _ = world.run(kind.iter().chain(&[name]));
            }
            world.sh("rm -f out").ok();
        }
    }
    assert!(refused > 0, "the quota refused nothing");
    assert_eq!(world.run(["verify", "--deep"]).code(), 0);
}
