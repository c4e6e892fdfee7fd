//! Many forks at once, and a model of plain directory copies.

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use support::{World, listing};

fn slow() -> bool {
    std::env::var_os("VRIFT_SLOW").is_some_and(|value| value == "1")
}

#[test]
fn many_forks_run_at_once_and_do_not_see_each_other() {
    needs_sessions!();
    let world = World::new();
    for number in 0..50 {
        world.write(&format!("src/{number}"), format!("{number}\n"));
    }
    world.exec(["true"]).ok();
    let forks = if slow() { 100 } else { 16 };
    for number in 0..forks {
        world.run(["fork", &format!("n{number}")]).ok();
    }
    let mut live = Vec::new();
    let gate = world.path().join("gate");
    for number in 0..forks {
        // all of them live before the first one writes
        let script = format!(
            ": > '{0}.{number}'; while [ ! -e '{0}' ]; do sleep 0.02; done; \
             test ! -e own && echo {number} > own && echo {number} > src/7 && rm src/8",
            gate.display()
        );
        let name = format!("n{number}");
        let mut run = world.vrift();
        run.args(["-q", "exec", "--no-sync", "-w", &name, "--", "sh", "-c", &script]);
        live.push(run.spawn().unwrap());
    }
    let ready = |number: &i32| PathBuf::from(format!("{}.{number}", gate.display())).exists();
    while !(0..forks).all(|number| ready(&number)) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    std::fs::write(&gate, "").unwrap();
    for mut run in live {
        assert!(run.wait().unwrap().success());
    }
    for number in 0..forks {
        let name = format!("n{number}");
        let seen = world.run(["exec", "-w", &name, "--", "sh", "-c", "cat own src/7; ls src | wc -l"]).ok();
        assert_eq!(seen, format!("{number}\n{number}\n49\n"));
    }
    assert_eq!(world.sh("cat src/7 src/8; test ! -e own").ok(), "7\n8\n");
}

#[test]
fn first_runs_of_several_workspaces_do_not_wait_for_one_another() {
    needs_sessions!();
    for _ in 0..4 {
        let world = World::new();
        world.write("file", "x");
        world.run(["sync"]).ok();
        let names = ["main", "one", "two", "three"];
        names[1..].iter().for_each(|name| drop(world.run(["fork", name]).ok()));
        let met = world.path().join("met");
        std::fs::create_dir(&met).unwrap();
        // each goes on until all are there, ten seconds at most
        let script = format!(
            "cd {}; : > $VRIFT_WORKSPACE; n=0; \
             while [ $(ls | wc -l) -lt {} ]; do n=$((n + 1)); [ $n -lt 200 ] || exit 9; sleep 0.05; done",
            met.display(),
            names.len()
        );
        let start = |name: &&str| {
            let mut run = world.vrift();
            run.args(["-q", "exec", "--no-sync", "-w", name, "--", "sh", "-c", &script]).spawn().unwrap()
        };
        let live: Vec<_> = names.iter().map(start).collect();
        for mut run in live {
            assert_eq!(run.wait().unwrap().code(), Some(0));
        }
    }
}

/// The same small steps each time, by a generator of our own: a failure comes again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// What a random run does to a tree.
fn script(random: &mut Random) -> String {
    let mut lines = Vec::new();
    for _ in 0..1 + random.below(4) {
        let (a, b) = (random.below(4), random.below(4));
        lines.push(match random.below(9) {
            0 => format!("rm -rf d{a}; mkdir -p d{a}/e{b}"),
            1 => format!("rm -rf d{a}"),
            2 => format!("rm -rf d{a}; echo {b} > d{a}"),
            3 => format!("mkdir -p d{a} 2> /dev/null && echo {b} > d{a}/f{b}"),
            4 => format!("mkdir -p d{a} 2> /dev/null && rm -f d{a}/l && ln -s f{b} d{a}/l"),
            5 => format!("test -f d{a}/f{b} && chmod 6{a}0 d{a}/f{b}"),
            6 => format!("test -f d{a}/f{b} && rm -f d{a}/h && ln d{a}/f{b} d{a}/h"),
            7 => format!("test -d d{a} && touch -d '2020-01-0{} 01:02:03.5' d{a}", b + 1),
            _ => format!("test -d d{a} && cp -a d{a} d{b}/c 2> /dev/null"),
        });
    }
    lines.join("\n") + "\ntrue"
}

/// A workspace's tree by its own eyes, as a listing.
fn view(world: &World, workspace: &str) -> Vec<String> {
    let to = world.path().join("view");
    let _ = vrift::os::remove::remove_tree(&to);
    let copy = format!("cp -a . '{}'", to.display());
    world.run(["-q", "exec", "--no-sync", "-w", workspace, "--", "sh", "-c", &copy]).ok();
    listing(&to).into_iter().filter(|line| !line.starts_with("\"\"") && !line.contains(".git")).collect()
}

#[test]
fn snapshots_forks_and_restores_are_what_plain_copies_are() {
    needs_sessions!();
    let seeds = if slow() { 40 } else { 4 };
    for seed in 1..=seeds {
        let random = &mut Random(seed);
        let world = World::new();
        world.write("d0/f0", "host");
        world.exec(["true"]).ok();
        // name of a workspace or snapshot -> what it shows
        let mut workspaces = BTreeMap::from([("main".to_string(), view(&world, "main"))]);
        let mut snapshots: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for step in 0..25 {
            let names: Vec<String> = workspaces.keys().cloned().collect();
            let name = names[random.below(names.len() as u64) as usize].clone();
            let roots: Vec<String> = snapshots.keys().chain(workspaces.keys()).cloned().collect();
            let root = roots[random.below(roots.len() as u64) as usize].clone();
            let shown = snapshots.get(&root).or(workspaces.get(&root)).unwrap().clone();
            match random.below(8) {
                0 => {
                    let new = format!("w{step}");
                    world.run(["fork", &new, "--from", &root]).ok();
                    workspaces.insert(new, shown);
                }
                1 => {
                    let new = format!("s{step}");
                    world.run(["commit", "--no-sync", "-w", &name, &new]).ok();
                    snapshots.insert(new, workspaces[&name].clone());
                }
                2 => {
                    world.run(["restore", "-w", &name, &root]).ok();
                    workspaces.insert(name.clone(), shown);
                }
                3 if name != "main" => {
                    world.run(["workspace", "delete", &name]).ok();
                    workspaces.remove(&name);
                    continue;
                }
                _ => {
                    let script = script(random);
                    world.run(["-q", "exec", "--no-sync", "-w", &name, "--", "sh", "-c", &script]).ok();
                    let seen = view(&world, &name);
                    let differs = seen != workspaces[&name];
                    let old = workspaces.insert(name.clone(), seen).unwrap();
                    assert!(differs || old == workspaces[&name]);
                }
            }
            for (other, shown) in &workspaces {
                assert_eq!(
                    view(&world, other),
                    *shown,
                    "seed {seed}, step {step}: {other} after {name}, {root}"
                );
            }
        }
        for (name, shown) in &snapshots {
            let root = world.run(["exec", "--from", name, "--", "true"]);
            root.ok();
            world.run(["restore", name]).ok();
            assert_eq!(view(&world, "main"), *shown, "seed {seed}: {name}");
            // what is alike by a diff is alike
            assert_eq!(world.run(["diff", "--name-status", name, "main"]).ok(), "", "seed {seed}: {name}");
        }
    }
}
