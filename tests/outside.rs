//! What runs outside and sees the directory itself: servers that a run is kept from by variables,
//! directories that are a workspace's own, sockets that are covered.

mod support;

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use support::{Ran, World, start};

/// `vrift exec OPTIONS -- sh -c SCRIPT` in this environment; the options are words of one string.
fn sh(world: &World, environment: &[(&str, &str)], options: &str, script: &str) -> Ran {
    let words = ["exec"].into_iter().chain(options.split_whitespace()).chain(["--", "sh", "-c", script]);
    Ran(world.vrift().args(words).envs(environment.iter().copied()).output().unwrap())
}

const SHOW: &str =
    "echo ${SCCACHE_SERVER_UDS-none} ${SCCACHE_SERVER_PORT-none} ${TMUX-none} ${GRADLE_OPTS-none}";

#[test]
fn servers_outside_are_not_the_runs_but_for_who_asks_for_them() {
    needs_sessions!();
    let world = World::new();
    let of_host = [
        ("SCCACHE_SERVER_UDS", "/host"),
        ("SCCACHE_SERVER_PORT", "4226"),
        ("TMUX", "/tmp/t,1,0"),
        ("GRADLE_OPTS", "-Xmx1g"),
    ];
    let run = |options: &str| sh(&world, &of_host, options, SHOW).ok();
    let socket = format!("{}/run/sccache.sock", world.store.display());
    let inside = run("");
    let words: Vec<&str> = inside.split_whitespace().collect();
    assert_eq!([words[0], words[2], words[3]], [&socket, "none", "-Xmx1g"], "{inside}");
    assert!(words[4].starts_with("-Dorg.gradle.daemon=false"), "{inside}");
    let port: u16 = words[1].parse().unwrap();
    assert!((20_000..32_000).contains(&port));
    assert_eq!(run("--no-helper-env"), "/host 4226 /tmp/t,1,0 -Xmx1g\n");
    let asked = run("--setenv SCCACHE_SERVER_UDS=/mine --setenv GRADLE_OPTS=-Da");
    assert_eq!(asked, format!("/mine {port} none -Da\n"));
    // another workspace: the same path, which is another directory there, and another port
    let forked = run("--fork f");
    assert!(forked.starts_with(&format!("{socket} ")) && !forked.contains(&port.to_string()), "{forked}");
    // nothing of the caller's, and ours all the same
    assert_eq!(run("--clear-env").split_whitespace().next(), Some(socket.as_str()));
}

#[test]
fn the_users_configuration_switches_it_off_and_a_project_only_when_allowed() {
    needs_sessions!();
    let world = World::new();
    let show = |options: &str| sh(&world, &[("SCCACHE_SERVER_UDS", "/host")], options, SHOW);
    world.write("vrift.toml", "[run]\nhelper-env = false\n");
    let ran = show("");
    assert!(ran.stderr().contains("run.helper-env in vrift.toml reaches beyond"), "{}", ran.stderr());
    assert!(!ran.ok().starts_with("/host"));
    world.run(["allow"]).ok();
    assert!(show("").ok().starts_with("/host"));
    std::fs::remove_file(world.project.join("vrift.toml")).unwrap();
    assert!(show("--config run.helper-env=false").ok().starts_with("/host"));
}

#[test]
fn a_command_inside_that_runs_another_adds_nothing() {
    needs_sessions!();
    let world = World::new();
    let vrift = env!("CARGO_BIN_EXE_vrift");
    let script =
        format!("env | sort > a; {vrift} exec env | sort > b; diff a b && {vrift} exec --clear-env env");
    let environment = [("GRADLE_OPTS", "-Xmx1g")];
    let nested = sh(&world, &environment, "", &script).ok();
    assert_eq!(nested.matches("org.gradle.daemon=false").count(), 1, "{nested}");
    assert!(nested.contains("SCCACHE_SERVER_UDS="), "{nested}");
    let refused = sh(&world, &[], "", &format!("{vrift} exec --no-helper-env true"));
    assert!(refused.fails(125).contains("inside a run there is no --no-helper-env"));
}

#[test]
fn each_workspace_has_a_place_for_sockets_that_its_runs_share() {
    needs_sessions!();
    let world = World::new();
    let other = format!("{}/run", world.store.display());
    // who listens is found by a run that joins, at the path that both are given
    let listen = "import os, socket; s = socket.socket(socket.AF_UNIX); s.bind(os.environ['SCCACHE_SERVER_UDS']); \
        s.listen(); print('ready', flush=True); c, _ = s.accept(); c.sendall(b'inside')";
    let ask = "import os, socket; s = socket.socket(socket.AF_UNIX); s.connect(os.environ['SCCACHE_SERVER_UDS']); \
        print(s.recv(9).decode())";
    let mut command = world.vrift();
    command.args(["exec", "--", "python3", "-c", listen]).stdout(std::process::Stdio::piped());
    let mut listening = command.spawn().unwrap();
    listening.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
    let in_fork = world.run(["exec", "--fork", "f", "--", "python3", "-c", ask]);
    assert!(in_fork.stderr().contains("FileNotFoundError"), "{}", in_fork.stderr());
    assert_eq!(world.exec(["python3", "-c", ask]).ok(), "inside\n");
    assert!(listening.wait().unwrap().success());
    // it is the user's alone, and not there outside
    let own = world.project_dir().join("own/1/run");
    assert_eq!(own.metadata().unwrap().permissions().mode() & 0o7777, 0o700);
    assert!(!Path::new(&other).exists() && own.join("sccache.sock").exists());
    // what a killed server left is no obstacle: the next one takes its place
    let again = "import os; os.remove(os.environ['SCCACHE_SERVER_UDS']); ";
    assert_eq!(world.exec(["python3", "-c", again]).code(), 0);
}

#[test]
fn a_private_directory_is_kept_and_each_workspace_has_its_own() {
    needs_sessions!();
    let world = World::outside_of_tmp();
    let dir = world.home.join(".cache/tool");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("host"), "host").unwrap();
    let private = format!("--private {}", dir.display());
    let run = |options: &str, script: &str| sh(&world, &[], &format!("{private} {options}"), script);
    run("", "ls ~/.cache/tool; echo main > ~/.cache/tool/made").ok();
    assert_eq!(run("--confine home", "ls ~/.cache/tool; cat ~/.cache/tool/made").ok(), "made\nmain\n");
    assert_eq!(run("--confine host", "echo more >> ~/.cache/tool/made; ls ~/.cache/tool").ok(), "made\n");
    assert_eq!(run("--private-tmp", "cat ~/.cache/tool/made").ok(), "main\nmore\n");
    assert_eq!(run("--fork f", "ls ~/.cache/tool; echo f > ~/.cache/tool/made").ok(), "");
    assert_eq!(run("-w f", "cat ~/.cache/tool/made").ok(), "f\n");
    assert_eq!(sh(&world, &[], "", "ls ~/.cache/tool").ok(), "host\n");
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
    world.run(["verify"]).ok();
    let own = world.project_dir().join("own");
    assert!(own.join("2").exists());
    // what its owner may not enter either
    run("-w f", "mkdir -p ~/.cache/tool/closed/x; chmod 0 ~/.cache/tool/closed").ok();
    world.run(["workspace", "delete", "f"]).ok();
    assert!(!own.join("2").exists() && own.join("1").exists());
    world.run(["undo", "-w", "f"]);
    world.run(["store", "destroy", "--yes"]).ok();
    assert!(!world.store.exists() && dir.join("host").exists());
}

#[test]
fn what_a_killed_deletion_left_goes_with_gc() {
    needs_sessions!();
    let world = World::new();
    sh(&world, &[], "--fork f --private ~/.a", "echo x > ~/.a/made").ok();
    sh(&world, &[], "--fork g --private ~/.a", "echo x > ~/.a/made").ok();
    let own = world.project_dir().join("own");
    let mut delete = world.vrift();
    delete.args(["workspace", "delete", "f"]).env("VRIFT_FAILPOINT", "workspace.deleted");
    assert!(!delete.output().unwrap().status.success());
    assert!(own.join("2").exists());
    world.run(["gc"]).ok();
    assert!(!own.join("2").exists() && own.join("3").exists());
    assert_eq!(sh(&world, &[], "-w g --private ~/.a", "cat ~/.a/made").ok(), "x\n");
}

#[test]
fn a_private_directory_that_is_not_there_is_made_and_one_in_tmp_survives_private_tmp() {
    needs_sessions!();
    let world = World::below(Path::new("/tmp"));
    let dir = world.path().join("state/tool");
    let options = format!("--private-tmp --private {}", dir.display());
    let script = format!("echo x > {0}/made; cat {0}/made", dir.display());
    assert_eq!(sh(&world, &[], &options, &script).ok(), "x\n");
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn what_a_project_makes_private_counts_once_it_is_allowed() {
    needs_sessions!();
    let world = World::new();
    world.write("vrift.toml", "[run]\nprivate = ['~/.cache/tool']\n");
    let ran = sh(&world, &[], "", "mkdir -p ~/.cache/tool; echo x > ~/.cache/tool/made");
    assert!(ran.stderr().contains("run.private in vrift.toml reaches beyond"), "{}", ran.stderr());
    ran.ok();
    assert!(world.home.join(".cache/tool/made").exists());
    world.run(["allow"]).ok();
    assert_eq!(sh(&world, &[], "", "ls ~/.cache/tool").ok(), "");
    let paths = world.run(["status", "--paths"]).ok();
    assert!(paths.contains("private") && paths.contains(".cache/tool"), "{paths}");
    let said = world.run(["doctor", &format!("{}/.cache/tool/made", world.home.display())]).ok();
    assert!(said.contains("is private, as all of") && said.contains("run.private `~/.cache/tool`"), "{said}");
}

#[test]
fn what_may_be_neither_private_nor_hidden() {
    needs_sessions!();
    let world = World::outside_of_tmp();
    world.write("inner/x", "x");
    std::os::unix::fs::symlink(&world.home, world.home.join("me")).unwrap();
    let (top, store) = (world.path().display().to_string(), world.store.display().to_string());
    let inner = format!("{}/inner", world.project.display());
    for path in ["/", "~/.", "~/..", "~/me", &top, &store, &inner, ".", "..", "/proc/self", "/dev"] {
        for option in ["--private", "--hide"] {
            let ran = world.run(["exec", option, path, "--", "true"]);
            let error = ran.fails(125);
            assert!(
                error.contains("cannot be in `run.") && error.contains("hint:"),
                "{option} {path}: {error}"
            );
        }
    }
    assert!(sh(&world, &[], "--config run.private=x", "true").fails(125).contains("no path outside"));
}

#[test]
fn who_joins_gets_them_as_they_are() {
    needs_sessions!();
    let world = World::new();
    let mut live = start(world.vrift(), &["--private", "~/.a"], "echo x > ~/.a/made");
    assert_eq!(sh(&world, &[], "", "cat ~/.a/made").ok(), "x\n");
    assert_eq!(sh(&world, &[], "--private ~/.a", "cat ~/.a/made").ok(), "x\n");
    for option in ["--private ~/.b", "--hide /etc"] {
        assert!(sh(&world, &[], option, "true").fails(125).contains("has a live session"), "{option}");
    }
    drop(live.stdin.take());
    assert!(live.wait().unwrap().success());
}

#[test]
fn a_covered_socket_is_reached_by_nobody_inside() {
    needs_sessions!();
    let world = World::new();
    let outside = world.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let socket = outside.join("engine.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    std::fs::write(outside.join("file"), "secret").unwrap();
    std::os::unix::fs::symlink("engine.sock", outside.join("link")).unwrap();
    let ask =
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); print('reached')";
    let reach = |options: &[&str], path: &Path| {
        let words = ["exec"].iter().chain(options).copied().chain(["--", "python3", "-c", ask]);
        world.run(words.map(std::ffi::OsStr::new).chain([path.as_os_str()]))
    };
    assert_eq!(reach(&[], &socket).ok(), "reached\n");
    let (shown, link, dir) = (socket.to_str().unwrap(), outside.join("link"), outside.to_str().unwrap());
    for hidden in [shown, link.to_str().unwrap()] {
        for level in ["none", "home", "host"] {
            let error = reach(&["--hide", hidden, "--confine", level], &socket).fails(1);
            let refused = error.contains("ConnectionRefusedError") || error.contains("PermissionError");
            assert!(refused, "{hidden}, {level}: {error}");
        }
    }
    // bound at another place it is covered too
    let at = world.path().join("at");
    std::fs::create_dir(&at).unwrap();
    let bind = format!("{dir}:{}", at.display());
    assert!(reach(&["--hide", shown, "--bind", &bind], &at.join("engine.sock")).code() != 0);
    assert!(
        sh(&world, &[], &format!("--hide {dir}/file"), &format!("cat {dir}/file; ls {dir}"))
            .ok()
            .contains("file")
    );
    let gone = sh(&world, &[], &format!("--hide {dir} --hide {shown}"), &format!("ls {dir}; rm {dir}"));
    assert_eq!(gone.stdout(), "");
    assert_ne!(gone.code(), 0);
    let missing = sh(&world, &[], "--hide /no/such.sock", "true");
    assert!(missing.stderr().contains("nothing is covered"), "{}", missing.stderr());
    missing.ok();
    // a project may cover more, unasked
    world.write("vrift.toml", format!("[run]\nhide = ['{shown}']\n"));
    reach(&[], &socket).fails(1);
    assert!(world.run(["status", "--paths"]).ok().contains("hide"));
    assert!(socket.exists());
}

#[test]
fn bazels_state_is_the_workspaces_own() {
    needs_sessions!();
    let world = World::new();
    let state = world.home.join(".cache/bazel");
    std::fs::create_dir_all(&state).unwrap();
    std::fs::write(state.join("host"), "").unwrap();
    assert_eq!(sh(&world, &[], "", "ls ~/.cache/bazel").ok(), "host\n");
    world.write("MODULE.bazel", "");
    assert_eq!(sh(&world, &[], "", "ls ~/.cache/bazel; echo x > ~/.cache/bazel/made").ok(), "");
    assert_eq!(sh(&world, &[], "--no-helper-env", "ls ~/.cache/bazel").ok(), "host\n");
    assert!(world.run(["doctor", state.to_str().unwrap()]).ok().contains("is private"));
    let elsewhere = world.path().join("caches");
    let environment = [("XDG_CACHE_HOME", elsewhere.to_str().unwrap())];
    sh(&world, &environment, "", "echo x > $XDG_CACHE_HOME/bazel/made").ok();
    assert_eq!(std::fs::read_dir(elsewhere.join("bazel")).unwrap().count(), 0);
}

#[test]
fn doctor_names_what_would_see_the_directory_itself() {
    let world = World::new();
    let runtime = world.path().join("runtime");
    std::fs::create_dir(&runtime).unwrap();
    let doctor = |words: &[&str]| {
        let mut command = world.vrift();
        command.args(["doctor"]).args(words).env("XDG_RUNTIME_DIR", &runtime).env_remove("DOCKER_HOST");
        let port = "1"; // nobody's
        Ran(command.env("TMUX_TMPDIR", &runtime).env("SCCACHE_SERVER_PORT", port).output().unwrap()).stdout()
    };
    let socket = runtime.join("docker.sock");
    let shown = socket.display().to_string();
    assert!(!doctor(&[]).contains(&shown));
    let engine = UnixListener::bind(&socket).unwrap();
    let tmux = runtime.join(format!("tmux-{}", rustix::process::getuid().as_raw()));
    std::fs::create_dir(&tmux).unwrap();
    let _server = UnixListener::bind(tmux.join("default")).unwrap();
    let page = doctor(&[]);
    assert!(page.contains(&format!("containers: `{shown}`; it sees the directory itself")), "{page}");
    assert!(
        page.contains(&format!("--hide {shown}")) && page.contains("runs have one of their own"),
        "{page}"
    );
    let json: serde_json::Value = serde_json::from_str(&doctor(&["--json"])).unwrap();
    let checks = json["checks"].as_array().unwrap();
    let of_engine = checks.iter().find(|check| check["found"].to_string().contains(&shown)).unwrap();
    assert_eq!((of_engine["name"].as_str(), of_engine["verdict"].as_str()), (Some("outside"), Some("note")));
    // a socket that nobody listens at any more is none
    drop(engine);
    assert!(!doctor(&[]).contains(&shown));
}

#[test]
fn one_line_is_an_agents_fork_with_its_profile() {
    needs_sessions!();
    let world = World::outside_of_tmp();
    world.write("vrift.toml", "[profile.agent]\nnet = 'own'\nconfine = 'home'\nhide = ['/etc/hostname']\n");
    // a server that is bound inside is reached inside; nobody outside is
    let script = "import os, socket; s = socket.socket(); s.bind(('127.0.0.1', 3000 + int(os.environ['VRIFT_INDEX']))); \
        s.listen(); c = socket.create_connection(s.getsockname()); s.accept(); \
        print(os.environ['VRIFT_WORKSPACE'], sorted(os.listdir('/sys/class/net')) and c.getpeername()); \
        print(repr(open('/etc/hostname').read()), os.access(os.environ['HOME'], os.W_OK))";
    let words = ["exec", "--fork", "a7", "--profile", "agent", "--", "python3", "-c", script];
    assert_eq!(world.run(words).ok(), "a7 ('127.0.0.1', 3001)\n'' False\n");
    let host = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = host.local_addr().unwrap().port().to_string();
    let ask = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])))";
    let ran = world.run(["exec", "-w", "a7", "--profile", "agent", "--", "python3", "-c", ask, &port]);
    assert!(ran.fails(1).contains("ConnectionRefusedError"));
    assert_eq!(world.run(["exec", "-w", "a7", "--", "python3", "-c", ask, &port]).code(), 0);
}
