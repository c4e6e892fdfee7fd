//! Limits on all processes of a session together, by a control group (cgroup v2) of the
//! session's own.
//!
//! Who may make one is decided by who owns the directories: it is made in the nearest
//! group at or above our own that is writable and hands the needed controllers on
//! (cgroups(7), "delegation"; a group with processes in it cannot begin to). The kernel
//! then lets us clone a process into it only if the whole way is ours. The session sees
//! the hierarchy read-only, so the limits hold.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};

use crate::config::limit::Limit;
use crate::error::{Context, Error, Result, quoted};
use crate::session::mountinfo::{self, Mounted};

/// Where this process is, and where the hierarchy is mounted.
#[derive(Debug)]
struct Own {
    mount: PathBuf,
    group: PathBuf,
}

/// The files that a limit is written to, by controller.
fn files(limit: &Limit) -> Vec<(&'static str, &'static str, String)> {
    /// Microseconds of a processor's time that `cpu.max` is about.
    const PERIOD: u64 = 100_000;
    let mem = limit.mem.map(|bytes| ("memory", "memory.max", bytes.to_string()));
    // the limit is on both together: what is beyond it is not to be swapped out
    let swap = limit.mem.map(|_| ("memory", "memory.swap.max", "0".to_string()));
    let cpu = limit
        .millicpus
        .map(|milli| ("cpu", "cpu.max", format!("{} {PERIOD}", (milli * PERIOD / 1000).max(1000))));
    let pids = limit.pids.map(|pids| ("pids", "pids.max", pids.to_string()));
    [mem, swap, cpu, pids].into_iter().flatten().collect()
}

const HINT: &str = "limits need cgroup v2 with the controllers delegated to you, as in: \
     systemd-run --user --scope -p Delegate=yes vrift …; or leave --limit out";

/// Where the group of a session of this name is to be.
pub fn choose(limit: &Limit, session: &str) -> Result<String> {
    let refused = |why: String| Error::failure(format!("cannot limit `{limit}`: {why}")).with_hint(HINT);
    let mounted = mountinfo::read()?;
    let text = std::fs::read_to_string("/proc/self/cgroup").context("read", "/proc/self/cgroup")?;
    let own = own(&mounted, &text).map_err(|why| refused(why.into()))?;
    let parent = parent(&own, limit).map_err(refused)?;
    let path = parent.join(format!("vrift-{session}"));
    path.into_os_string().into_string().map_err(|_| refused("its path is no text".into()))
}

/// The hierarchy's mount, which the session gets read-only.
pub fn mount_point(mounted: &[Mounted]) -> Option<PathBuf> {
    mounted.iter().find(|mounted| mounted.kind == "cgroup2").map(|mounted| mounted.point.clone())
}

fn own(mounted: &[Mounted], text: &str) -> Result<Own, &'static str> {
    let mount = mount_point(mounted).ok_or("cgroup v2 is not mounted here")?;
    let path =
        text.lines().find_map(|line| line.strip_prefix("0::/")).ok_or("this process is in no cgroup v2")?;
    if path.split('/').any(|part| part == "..") {
        return Err("this process's cgroup lies outside of what is mounted");
    }
    let group = if path.is_empty() { mount.clone() } else { mount.join(path) };
    Ok(Own { mount, group })
}

/// The nearest group that may have ours in it.
fn parent(own: &Own, limit: &Limit) -> Result<PathBuf, String> {
    let mut wanted: Vec<&str> = files(limit).iter().map(|(controller, _, _)| *controller).collect();
    wanted.dedup();
    let mut missing = String::new();
    for group in own.group.ancestors().take_while(|group| group.starts_with(&own.mount)) {
        let list = |name: &str| std::fs::read_to_string(group.join(name)).unwrap_or_default();
        let has = |list: &str, controller: &str| list.split_whitespace().any(|word| word == controller);
        let may = |path: &Path| rustix::fs::accessat(CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok();
        let handed_on = list("cgroup.subtree_control");
        let lacking: Vec<&str> = wanted.iter().copied().filter(|name| !has(&handed_on, name)).collect();
        if !may(group) || !may(&group.join("cgroup.procs")) {
            missing = format!("the cgroup {} is not yours", quoted(group.as_os_str()));
            continue;
        }
        if lacking.is_empty() {
            return Ok(group.to_path_buf());
        }
        // one without processes can begin to hand on what it has
        let available = list("cgroup.controllers");
        if lacking.iter().all(|name| has(&available, name)) {
            let text: Vec<String> = lacking.iter().map(|name| format!("+{name}")).collect();
            if std::fs::write(group.join("cgroup.subtree_control"), text.join(" ")).is_ok() {
                return Ok(group.to_path_buf());
            }
        }
        missing = format!("the cgroup {} does not hand on {}", quoted(group.as_os_str()), lacking.join(", "));
    }
    Err(missing)
}

/// Makes the group with its limits.
pub fn make(path: &str, limit: &Limit) -> Result<()> {
    std::fs::create_dir(path).context("make the cgroup", path)?;
    for (_, file, value) in files(limit) {
        let file = Path::new(path).join(file);
        match std::fs::write(&file, &value) {
            // without swap there is none to limit
            Err(error)
                if error.kind() == std::io::ErrorKind::NotFound && file.ends_with("memory.swap.max") => {}
            other => other.context("write", &file)?,
        }
    }
    Ok(())
}

/// The group, to clone into.
pub(super) fn open(path: &str) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).context("open the cgroup", path)
}

/// Removes the group of a session that has ended. The kernel keeps one that still has a
/// process in it.
pub fn remove(path: &str) {
    let _ = std::fs::remove_dir(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(at: &Path, controllers: &str, handed_on: &str) {
        std::fs::create_dir_all(at).unwrap();
        std::fs::write(at.join("cgroup.controllers"), controllers).unwrap();
        std::fs::write(at.join("cgroup.subtree_control"), handed_on).unwrap();
        std::fs::write(at.join("cgroup.procs"), "").unwrap();
    }

    #[test]
    fn the_nearest_group_that_hands_the_controllers_on_is_chosen() {
        let dir = tempfile::tempdir().unwrap();
        let mount = dir.path().to_path_buf();
        let (slice, scope) = (mount.join("user"), mount.join("user/x.scope"));
        group(&mount, "cpu memory pids", "cpu memory pids");
        group(&slice, "cpu memory pids", "memory pids");
        group(&scope, "", "");
        let own = Own { mount: mount.clone(), group: scope };
        let of = |text: &str| parent(&own, &text.parse().unwrap());
        assert_eq!(of("mem=1G,pids=5").unwrap(), slice);
        // this one has no processes, so it begins to hand on what it has
        assert_eq!(of("cpus=1").unwrap(), slice);
        assert_eq!(std::fs::read_to_string(slice.join("cgroup.subtree_control")).unwrap(), "+cpu");
        group(&slice, "pids", "pids");
        group(&mount, "pids", "pids");
        assert!(of("mem=1G").unwrap_err().contains("does not hand on memory"));
    }

    #[test]
    fn limits_are_written_as_the_kernel_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vrift-s").into_os_string().into_string().unwrap();
        make(&path, &"mem=1M,cpus=1.5,pids=9".parse().unwrap()).unwrap();
        let read = |name: &str| std::fs::read_to_string(Path::new(&path).join(name)).unwrap();
        assert_eq!(
            (read("memory.max"), read("cpu.max"), read("pids.max")),
            ("1048576".into(), "150000 100000".into(), "9".into())
        );
        assert_eq!(read("memory.swap.max"), "0");
    }

    #[test]
    fn without_the_hierarchy_the_reason_is_said() {
        assert!(own(&[], "0::/x\n").unwrap_err().contains("not mounted"));
    }
}
