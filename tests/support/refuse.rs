//! Takes system calls away from a command, as a container's seccomp filter does.

#![allow(dead_code)] // each test file uses its own part

use std::os::unix::process::CommandExt;
use std::process::Command;

/// One rule: this call, with any of these bits in this argument, is answered with an errno.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    pub call: libc::c_long,
    pub errno: i32,
    /// Number of an argument, and bits of which one must be in it.
    pub when: Option<(u32, u32)>,
}

/// Always.
pub const fn refuse(call: libc::c_long, errno: i32) -> Refusal {
    Refusal { call, errno, when: None }
}

/// When any of these bits is in the argument (its lower half).
pub const fn refuse_flags(call: libc::c_long, errno: i32, argument: u32, bits: i32) -> Refusal {
    Refusal { call, errno, when: Some((argument, bits as u32)) }
}

/// CLONE_NEW* but for the time namespace, as in Docker's default profile.
const NAMESPACES: i32 = 0x7e02_0000;

/// What Docker's default profile does to a process without CAP_SYS_ADMIN.
pub fn docker() -> Vec<Refusal> {
    let mut rules = vec![
        refuse(libc::SYS_clone3, libc::ENOSYS),
        refuse_flags(libc::SYS_clone, libc::EPERM, 0, NAMESPACES),
    ];
    let forbidden = [
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_move_mount,
        libc::SYS_open_tree,
        libc::SYS_mount_setattr,
    ];
    rules.extend(forbidden.map(|call| refuse(call, libc::EPERM)));
    rules
}

/// Puts the filter on the command, just before it is executed.
pub fn without(command: &mut Command, rules: &[Refusal]) {
    let program = program(rules);
    // SAFETY: two prctl calls on memory made before the fork.
    unsafe {
        command.pre_exec(move || {
            let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
            let set = libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const filter) == 0;
            if set { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
}

/// seccomp(2): the number is at offset 0 of seccomp_data, arguments from 16 on, lower half first.
fn program(rules: &[Refusal]) -> Vec<libc::sock_filter> {
    let step = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = |offset: u32| step(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0);
    let equal = |k: u32, jf: u8| step(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, k, 0, jf);
    let any = |k: u32, jf: u8| step(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, k, 0, jf);
    let answer = |value: u32| step(libc::BPF_RET | libc::BPF_K, value, 0, 0);
    let mut program = Vec::new();
    for rule in rules {
        let refused = answer(libc::SECCOMP_RET_ERRNO | rule.errno as u32);
        program.push(load(0));
        match rule.when {
            None => program.extend([equal(rule.call as u32, 1), refused]),
            Some((argument, bits)) => {
                program.extend([equal(rule.call as u32, 3), load(16 + 8 * argument), any(bits, 1), refused]);
            }
        }
    }
    program.push(answer(libc::SECCOMP_RET_ALLOW));
    program
}
