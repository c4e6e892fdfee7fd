//! Why this machine refuses namespaces and mounts, and the commands that change it.
//!
//! The kernel gives an error number; the reason is in a switch, a filter or a security
//! module. [`Machine`] is what can be read about those, [`Machine::why`] joins both
//! (user_namespaces(7), namespaces(7), clone(2), mount_too_revealing() in fs/namespace.c,
//! Docker's seccomp profile, Ubuntu's "AppArmor unprivileged user namespace restrictions").

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A session's: user, mount and pid namespace in one call.
    Session,
    UserNamespace,
    /// Another namespace; the word in `user.max_WORD_namespaces`.
    Namespace(&'static str),
    /// Writing uid_map, gid_map or setgroups of a user namespace.
    IdMaps,
    /// A mount, or a change of one, in a mount namespace of our own.
    Mount,
    /// A new instance of proc.
    FreshProc,
}

/// What can be read about this process's surroundings.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// `kernel.unprivileged_userns_clone` (Debian's and Arch's kernels) is 0.
    pub clone_is_off: bool,
    /// `kernel.apparmor_restrict_unprivileged_userns` is 1 (Ubuntu 23.10 and later).
    pub apparmor_restricts: bool,
    /// A seccomp filter is on this process.
    pub filtered: bool,
    /// The AppArmor profile that is enforced on this process.
    pub profile: Option<String>,
    /// The root directory is no mount point: a chroot.
    pub chroot: bool,
    /// `docker`, `podman`, or another name a container says of itself.
    pub container: Option<String>,
    /// Mount points below `/proc`.
    pub covered: Vec<String>,
    /// `user.max_WORD_namespaces` by word, as this user namespace shows it; an outer one's may be lower.
    pub max_namespaces: BTreeMap<&'static str, u64>,
    is_root: bool,
    executable: PathBuf,
}

/// Why, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    pub cause: String,
    /// In words, where no command of this machine's helps.
    pub advice: Option<String>,
    /// For a shell, in this order.
    pub commands: Vec<String>,
}

impl Why {
    /// One line: the cause, and what to do first; `None` where nothing more is known than
    /// the error number.
    pub fn hint(&self) -> Option<String> {
        let what = self.advice.as_ref().or(self.commands.first())?;
        Some(format!("{}: {what} (vrift doctor says more, --fix prints all commands)", self.cause))
    }

    /// Puts it on the error it explains.
    pub fn explain(&self, error: Error) -> Error {
        match self.hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}

impl Machine {
    pub fn read() -> Self {
        let executable = std::env::current_exe().unwrap_or_else(|_| "/usr/bin/vrift".into());
        Self::below(Path::new("/"), rustix::process::geteuid().is_root(), executable)
    }

    fn below(root: &Path, is_root: bool, executable: PathBuf) -> Self {
        let text = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        let sysctls = root.join("proc/sys");
        let status = text("proc/self/status");
        let mounts = text("proc/self/mountinfo");
        let points: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(4)).collect();
        let by_environment = || {
            text("proc/1/environ").split('\0').find_map(|pair| Some(pair.strip_prefix("container=")?.into()))
        };
        let container = if root.join(".dockerenv").exists() {
            Some("docker".into())
        } else if root.join("run/.containerenv").exists() {
            Some("podman".into())
        } else {
            by_environment()
        };
        let covers = |point: &&&str| point.starts_with("/proc/") && **point != "/proc/sys/fs/binfmt_misc";
        Self {
            clone_is_off: sysctl(&sysctls, "kernel/unprivileged_userns_clone") == Some(0),
            apparmor_restricts: sysctl(&sysctls, "kernel/apparmor_restrict_unprivileged_userns")
                .is_some_and(|value| value != 0),
            filtered: status
                .lines()
                .any(|line| line.strip_prefix("Seccomp:").is_some_and(|v| v.trim() == "2")),
            profile: ["apparmor/current", "current"]
                .iter()
                .find_map(|name| enforced(&text(&format!("proc/self/attr/{name}")))),
            chroot: !points.is_empty() && !points.contains(&"/"),
            container,
            covered: points.iter().filter(covers).map(ToString::to_string).collect(),
            max_namespaces: ["user", "mnt", "pid"]
                .into_iter()
                .filter_map(|word| Some((word, sysctl(&sysctls, &format!("user/max_{word}_namespaces"))?)))
                .collect(),
            is_root,
            executable,
        }
    }

    /// The reason for an error number, and its remedy.
    pub fn why(&self, asked: Asked, errno: i32) -> Why {
        match (asked, errno) {
            (Asked::UserNamespace, libc::ENOSPC | libc::EUSERS) => self.exhausted("user"),
            (Asked::Session, libc::ENOSPC | libc::EUSERS) => {
                let least = self.max_namespaces.iter().min_by_key(|(_, limit)| **limit);
                self.exhausted(least.map_or("user", |(word, _)| word))
            }
            (Asked::Session, errno) => self.why(Asked::UserNamespace, errno),
            (Asked::Namespace(word), libc::ENOSPC) => self.exhausted(word),
            (_, libc::EAGAIN) => Why::advice(
                "too many processes: the limit `ulimit -u`, or the cgroup's pids.max, is reached",
                "end some, or raise the limit",
            ),
            (Asked::UserNamespace, libc::EINVAL) => Why::advice(
                "this kernel was built without user namespaces (CONFIG_USER_NS)",
                "another kernel is needed",
            ),
            (Asked::FreshProc, libc::EPERM) if !self.covered.is_empty() => self.masked(),
            (Asked::UserNamespace, libc::EPERM) if self.clone_is_off => Why::sysctl(
                self,
                "`kernel.unprivileged_userns_clone` is 0: only root may make user namespaces",
                "kernel.unprivileged_userns_clone=1",
            ),
            // AppArmor lets the clone of a program without a profile through: a filter it is
            (Asked::UserNamespace, libc::EPERM | libc::ENOSYS) if self.filtered => self.filter(),
            (_, libc::EACCES) if self.profile.is_some() => self.profiled(),
            (_, libc::EPERM | libc::EACCES) if self.apparmor_restricts && !self.is_root => self.apparmor(),
            (_, libc::EPERM | libc::ENOSYS) if self.filtered => self.filter(),
            (Asked::UserNamespace, libc::EPERM) if self.chroot => Why::advice(
                "user namespaces are refused in a chroot",
                "start vrift outside of it, or in a container",
            ),
            (_, libc::EPERM | libc::EACCES) => Why::advice(
                "a security module (AppArmor, SELinux, Landlock) or a filter refuses it",
                "the kernel's log says which: dmesg | tail, or journalctl -k",
            ),
            (_, libc::ENOSYS) => {
                Why::advice("the kernel, or a filter, has no such call", "Linux 6.16 or newer is needed")
            }
            (_, errno) => {
                let text = std::io::Error::from_raw_os_error(errno).to_string();
                Why {
                    cause: text.split(" (os").next().unwrap_or_default().to_string(),
                    advice: None,
                    commands: vec![],
                }
            }
        }
    }

    /// ENOSPC: this namespace's limit or an outer one's, or 32 levels.
    fn exhausted(&self, word: &str) -> Why {
        let key = format!("user.max_{word}_namespaces");
        match self.max_namespaces.get(word).copied() {
            Some(0) => Why::sysctl(
                self,
                &format!("`{key}` is 0: {word} namespaces are forbidden"),
                &format!("{key}=15000"),
            ),
            Some(limit) if limit < 100 => Why::sysctl(
                self,
                &format!("`{key}` is {limit}, and that many are in use"),
                &format!("{key}=15000"),
            ),
            limit => {
                let limit = limit.map_or("not readable here".to_string(), |limit| limit.to_string());
                Why::advice(
                    &format!(
                        "too many {word} namespaces: `{key}` ({limit}), the same of an outer namespace, or 32 levels of nesting"
                    ),
                    "raise the limit where it is reached, or start vrift less deeply nested",
                )
            }
        }
    }

    fn filter(&self) -> Why {
        let cause = format!("a seccomp filter refuses it{}", self.in_container());
        let option =
            "--security-opt seccomp=contrib/seccomp.json (of vrift's sources; or seccomp=unconfined)";
        let advice = match self.container.as_deref() {
            Some(name @ ("docker" | "podman")) => format!("start the container with: {name} run {option} …"),
            _ => format!("as in a container's default profile; start it with {option} (docker, podman)"),
        };
        Why::advice(&cause, &advice)
    }

    /// A profile for one program or container, as docker-default, which refuses mounts.
    fn profiled(&self) -> Why {
        let name = self.profile.as_deref().unwrap_or_default();
        let cause = format!("the AppArmor profile `{name}` refuses it{}", self.in_container());
        let advice = match self.container.as_deref() {
            Some(engine @ ("docker" | "podman")) => {
                let other = match self.apparmor_restricts {
                    true => "vrift (contrib/apparmor/vrift of vrift's sources, loaded on the host)",
                    false => "unconfined",
                };
                format!("start the container with: {engine} run --security-opt apparmor={other} …")
            }
            _ => "it needs the rules `userns,` and `mount,`, or vrift a profile of its own: contrib/apparmor/vrift".into(),
        };
        Why::advice(&cause, &advice)
    }

    fn masked(&self) -> Why {
        let covered = self.covered.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
        let advice = match self.container.as_deref() {
            Some("docker") => {
                "start the container with: docker run --security-opt systempaths=unconfined …".into()
            }
            Some("podman") => "start the container with: podman run --security-opt unmask=ALL …".into(),
            _ => format!(
                "take away what is mounted over {covered}; in docker: --security-opt systempaths=unconfined"
            ),
        };
        Why::advice(&format!("parts of /proc are covered ({covered}){}", self.in_container()), &advice)
    }

    fn in_container(&self) -> String {
        self.container.as_ref().map(|name| format!(", in a {name} container")).unwrap_or_default()
    }

    /// Ubuntu's own remedy is a profile for the one program; the switch opens it to all.
    fn apparmor(&self) -> Why {
        let path = self.executable.display();
        let profile = format!(
            "printf '%s\\n' 'abi <abi/4.0>,' 'include <tunables/global>' 'profile vrift \"{path}\" flags=(unconfined) {{ userns, }}' \
             | {}tee /etc/apparmor.d/vrift",
            self.sudo()
        );
        Why {
            cause: "AppArmor restricts unprivileged user namespaces (`kernel.apparmor_restrict_unprivileged_userns` is 1)".into(),
            advice: Some("a profile that permits them to vrift is needed".into()),
            commands: vec![profile, format!("{}apparmor_parser -r /etc/apparmor.d/vrift", self.sudo())],
        }
    }

    fn sudo(&self) -> &'static str {
        if self.is_root { "" } else { "sudo " }
    }
}

impl Why {
    fn advice(cause: &str, advice: &str) -> Self {
        Self { cause: cause.into(), advice: Some(advice.into()), commands: Vec::new() }
    }

    /// Now, and after the next boot (sysctl.d(5)).
    fn sysctl(machine: &Machine, cause: &str, setting: &str) -> Self {
        let sudo = machine.sudo();
        let commands = vec![
            format!("{sudo}sysctl -w {setting}"),
            format!("echo {setting} | {sudo}tee -a /etc/sysctl.d/60-vrift.conf"),
        ];
        Self { cause: cause.into(), advice: None, commands }
    }
}

/// `NAME (enforce)`; SELinux, whose labels are in the same file, has no such ending.
fn enforced(label: &str) -> Option<String> {
    label.trim().strip_suffix(" (enforce)").map(str::to_string)
}

fn sysctl(sysctls: &Path, name: &str) -> Option<u64> {
    std::fs::read_to_string(sysctls.join(name)).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine whose files are these.
    fn machine(files: &[(&str, &str)]) -> Machine {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Machine::below(root.path(), false, "/opt/vrift".into())
    }

    const USER: Asked = Asked::UserNamespace;

    #[test]
    fn a_switch_is_named_with_the_command_that_turns_it() {
        let debian = machine(&[("proc/sys/kernel/unprivileged_userns_clone", "0\n")]);
        let why = debian.why(USER, libc::EPERM);
        assert_eq!(why.commands[0], "sudo sysctl -w kernel.unprivileged_userns_clone=1");
        assert!(why.hint().unwrap().contains("is 0") && why.commands[1].contains("/etc/sysctl.d/"));

        let none = machine(&[("proc/sys/user/max_user_namespaces", "0")]).why(USER, libc::ENOSPC);
        assert_eq!(none.commands[0], "sudo sysctl -w user.max_user_namespaces=15000");
        let one =
            machine(&[("proc/sys/user/max_pid_namespaces", "1")]).why(Asked::Namespace("pid"), libc::ENOSPC);
        let session = machine(&[
            ("proc/sys/user/max_user_namespaces", "900"),
            ("proc/sys/user/max_mnt_namespaces", "0"),
        ]);
        assert!(session.why(Asked::Session, libc::ENOSPC).cause.contains("max_mnt_namespaces"));
        assert!(one.cause.contains("is 1") && one.commands[0].contains("user.max_pid_namespaces"));
        let many = machine(&[("proc/sys/user/max_user_namespaces", "90000")]).why(USER, libc::EUSERS);
        assert!(many.commands.is_empty() && many.cause.contains("32 levels"));
    }

    #[test]
    fn apparmor_is_named_at_whichever_step_it_refuses() {
        let ubuntu = machine(&[("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n")]);
        for (asked, errno) in [
            (USER, libc::EACCES),
            (Asked::IdMaps, libc::EPERM),
            (Asked::IdMaps, libc::EACCES),
            (Asked::Mount, libc::EACCES),
        ] {
            let why = ubuntu.why(asked, errno);
            assert!(why.cause.contains("AppArmor"), "{asked:?}");
            assert!(why.commands[0].contains("profile vrift \"/opt/vrift\" flags=(unconfined) { userns, }"));
        }
        assert!(!ubuntu.why(Asked::FreshProc, libc::ENODEV).cause.contains("AppArmor"));
    }

    #[test]
    fn a_containers_filter_and_its_masks_are_told_from_an_old_kernel() {
        let docker = machine(&[
            ("proc/self/status", "Name:\tx\nSeccomp:\t2\n"),
            (".dockerenv", ""),
            ("proc/self/mountinfo", "1 2 0:3 / / rw - ext4 d rw\n5 1 0:9 / /proc/kcore ro - tmpfs t rw\n"),
        ]);
        for errno in [libc::EPERM, libc::ENOSYS] {
            assert!(
                docker
                    .why(USER, errno)
                    .hint()
                    .unwrap()
                    .contains("docker run --security-opt seccomp=contrib/seccomp.json")
            );
        }
        let proc = docker.why(Asked::FreshProc, libc::EPERM);
        assert!(
            proc.cause.contains("/proc/kcore") && proc.hint().unwrap().contains("systempaths=unconfined")
        );
        let chroot = machine(&[("proc/self/mountinfo", "5 1 0:9 / /proc rw - proc p rw\n")]);
        assert!(chroot.why(USER, libc::EPERM).cause.contains("chroot"));
    }

    #[test]
    fn a_containers_apparmor_profile_is_named_after_its_filter() {
        let files = [
            ("proc/self/status", "Seccomp:\t2\n"),
            ("proc/self/attr/apparmor/current", "docker-default (enforce)\n"),
            (".dockerenv", ""),
            ("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n"),
        ];
        let ubuntu = machine(&files);
        assert!(ubuntu.why(USER, libc::EPERM).cause.contains("seccomp"));
        let mount = ubuntu.why(Asked::Mount, libc::EACCES);
        assert!(mount.cause.contains("`docker-default`"), "{mount:?}");
        assert!(mount.hint().unwrap().contains("--security-opt apparmor=vrift"));
        let debian = machine(&files[..3]).why(Asked::Mount, libc::EACCES);
        assert!(debian.hint().unwrap().contains("--security-opt apparmor=unconfined"));
        assert_eq!(enforced("unconfined\n"), None);
    }

    #[test]
    fn what_nothing_explains_keeps_the_systems_words() {
        let plain = machine(&[]);
        let why = plain.why(Asked::Mount, libc::ENOMEM);
        assert_eq!((why.cause.as_str(), why.hint()), ("Cannot allocate memory", None));
        assert!(plain.why(Asked::Mount, libc::EPERM).cause.contains("security module"));
    }
}
