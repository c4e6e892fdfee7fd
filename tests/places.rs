//! Writes to places outside of the project at every confinement level, and what became of
//! them: held to the table in `docs/confinement.md`, and the other way round.

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};

use support::{Ran, World};

const LEVELS: [&str; 4] = ["", "--confine home", "--confine host", "--confine host --private-tmp --net none"];

/// Tries one place after another; prints the names of those where it worked.
const SCRIPT: &str = r#"
import ctypes, os, socket, sys
def file(path):
    with open(path, 'w') as f: f.write('written')
def connect(family, address):
    s = socket.socket(family); s.settimeout(5); s.connect(address)
def shared_memory():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.shmget(int(os.environ['T_KEY']), 4096, 0o1600) < 0: raise OSError(ctypes.get_errno(), 'shmget')
env = os.environ
tries = {'the project': lambda: file('new')}
for name, variable in [('the home directory', 'T_HOME'), ('a declared cache', 'T_CACHE'), ('`/tmp`', 'T_TMP'),
        ('`/var/tmp`', 'T_VAR_TMP'), ('`/dev/shm`', 'T_SHM'), ('`/etc`, as root', 'T_ETC'),
        ('another project', 'T_OTHER'), ('the store', 'T_STORE'), ("another session's staging", 'T_STAGING'),
        ('`$XDG_RUNTIME_DIR`', 'T_RUN'), ('a bind', 'T_BIND'), ('a bind with `:ro`', 'T_BIND_RO')]:
    tries[name] = lambda variable=variable: file(env[variable])
tries['a Unix socket with a path'] = lambda: connect(socket.AF_UNIX, env['T_SOCKET'])
tries['a Unix socket without one'] = lambda: connect(socket.AF_UNIX, '\0' + env['T_ABSTRACT'])
tries["the host's loopback"] = lambda: connect(socket.AF_INET, ('127.0.0.1', int(env['T_PORT'])))
tries['System V shared memory'] = shared_memory
for name, attempt in tries.items():
    try: attempt(); print(name)
    except OSError: pass
"#;

fn has_shared_memory(key: i32, remove: bool) -> bool {
    let option = if remove { "-M" } else { "-m" };
    let key = format!("0x{key:08x}");
    let command =
        |program: &str, args: &[&str]| std::process::Command::new(program).args(args).output().unwrap();
    let listed = String::from_utf8_lossy(&command("ipcs", &["-m"]).stdout).contains(&key);
    if remove && listed {
        command("ipcrm", &[option, &key]);
    }
    listed
}

/// What became of a write to each place.
fn outcomes(options: &str) -> BTreeMap<String, &'static str> {
    let world = World::outside_of_tmp();
    let top = world.path().to_path_buf();
    let name = top.file_name().unwrap().to_str().unwrap().to_string();
    for dir in ["other", "cache", "bound", "shown", "at", "at-ro", "run"] {
        std::fs::create_dir(top.join(dir)).unwrap();
    }
    world.exec(["true"]).ok();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    // In the bind: the world may lie below a directory that --private-tmp hides.
    let socket = UnixListener::bind(top.join("bound/socket")).unwrap();
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let without = UnixListener::bind_addr(&address).unwrap();
    let key = i32::from_str_radix(&blake3::hash(name.as_bytes()).to_hex()[..7], 16).unwrap();
    let staging = world.project_dir().join("staging/new");
    let files: Vec<(&str, &str, PathBuf, PathBuf)> = vec![
        ("the home directory", "T_HOME", world.home.join("new"), world.home.join("new")),
        ("a declared cache", "T_CACHE", top.join("cache/new"), top.join("cache/new")),
        ("`/tmp`", "T_TMP", Path::new("/tmp").join(&name), Path::new("/tmp").join(&name)),
        ("`/var/tmp`", "T_VAR_TMP", format!("/var/tmp/{name}-x").into(), format!("/var/tmp/{name}-x").into()),
        ("`/dev/shm`", "T_SHM", Path::new("/dev/shm").join(&name), Path::new("/dev/shm").join(&name)),
        ("`/etc`, as root", "T_ETC", Path::new("/etc").join(&name), Path::new("/etc").join(&name)),
        ("another project", "T_OTHER", top.join("other/new"), top.join("other/new")),
        ("the store", "T_STORE", world.store.join("new"), world.store.join("new")),
        ("another session's staging", "T_STAGING", staging.clone(), staging),
        ("`$XDG_RUNTIME_DIR`", "T_RUN", top.join("run/new"), top.join("run/new")),
        ("a bind", "T_BIND", top.join("at/new"), top.join("bound/new")),
        ("a bind with `:ro`", "T_BIND_RO", top.join("at-ro/new"), top.join("shown/new")),
    ];
    let mut command = world.vrift();
    command.arg("exec").args(options.split_whitespace()).arg("--cache").arg(top.join("cache"));
    let bind = |source: &str, target: &str| format!("{0}/{source}:{0}/{target}", top.display());
    command.arg("--bind").arg(bind("bound", "at")).arg("--bind").arg(bind("shown", "at-ro") + ":ro");
    for (_, variable, inside, _) in &files {
        command.env(variable, inside);
    }
    command
        .env("XDG_RUNTIME_DIR", top.join("run"))
        .env("T_SOCKET", top.join("at/socket"))
        .env("T_ABSTRACT", &name);
    command.env("T_PORT", tcp.local_addr().unwrap().port().to_string()).env("T_KEY", key.to_string());
    let printed = Ran(command.args(["--", "python3", "-c", SCRIPT]).output().unwrap()).ok();
    let worked = |name: &str| printed.lines().any(|line| line == name);

    let mut found = BTreeMap::new();
    let mut note = |name: &str, reached: bool| {
        let outcome = match (reached, worked(name)) {
            (true, _) => "the host",
            (false, true) => "the session",
            (false, false) => "refused",
        };
        found.insert(name.to_string(), outcome);
    };
    for (name, _, _, outside) in &files {
        note(name, outside.exists());
        let _ = std::fs::remove_file(outside);
    }
    socket.set_nonblocking(true).unwrap();
    without.set_nonblocking(true).unwrap();
    tcp.set_nonblocking(true).unwrap();
    note("a Unix socket with a path", socket.accept().is_ok());
    note("a Unix socket without one", without.accept().is_ok());
    note("the host's loopback", tcp.accept().is_ok());
    note("System V shared memory", has_shared_memory(key, true));
    assert!(!world.project.join("new").exists());
    let kept = world.exec(["cat", "new"]).ok() == "written";
    found.insert("the project".into(), if kept { "the workspace" } else { "lost" });
    found
}

/// The rows of the table that has these columns.
fn documented() -> BTreeMap<String, Vec<String>> {
    let text = include_str!("../docs/confinement.md");
    let table = text.split_once("| a write to |").expect("the table").1;
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_string());
        (cells.next().unwrap(), cells.collect())
    })
    .collect()
}

#[test]
fn what_becomes_of_a_write_is_as_documented() {
    needs_sessions!();
    let is_root = rustix::process::geteuid().is_root();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for options in LEVELS {
        for (name, outcome) in outcomes(options) {
            found.entry(name).or_default().push(outcome.to_string());
        }
    }
    let mut documented = documented();
    if !is_root {
        // nobody else may write there, confined or not
        assert_eq!(found.remove("`/etc`, as root").unwrap(), ["refused"; 4]);
        documented.remove("`/etc`, as root");
    }
    let mut said = Vec::new();
    for (name, outcomes) in &found {
        writeln!(said, "| {name} | {} |", outcomes.join(" | ")).unwrap();
    }
    assert_eq!(found, documented, "what really happens:\n{}", String::from_utf8_lossy(&said));
    assert!(found.len() >= 12);
}

#[test]
fn a_process_group_of_an_outer_pid_namespace_is_nobodys() {
    needs_sessions!();
    let world = World::new();
    let mut command = world.command("unshare");
    // the group's leader is the test, which is not to be seen from inside
    command.args([
        "-Urpf",
        "--mount-proc",
        env!("CARGO_BIN_EXE_vrift"),
        "exec",
        "--",
        "sh",
        "-c",
        "echo in > f; cat f",
    ]);
    let ran = support::Ran(command.output().unwrap());
    assert!(!ran.stderr().contains("panicked"), "{}", ran.stderr());
    assert_eq!(ran.ok(), "in\n");
}
