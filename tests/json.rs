//! What verbs print with --json is what docs/json.md says, member by member.

mod support;

use std::collections::BTreeMap;
use std::process::Stdio;

use clap::CommandFactory;
use serde_json::Value;
use support::World;

/// A type of TypeScript's, as far as the page needs it.
#[derive(Clone, Debug, PartialEq)]
enum Type {
    String,
    Number,
    Boolean,
    Null,
    Literal(String),
    Named(String),
    List(Box<Type>),
    Record(Box<Type>),
    OneOf(Vec<Type>),
    /// Members, with whether each must be there.
    Object(BTreeMap<String, (Type, bool)>),
}

/// The types of the page by name, and by the verbs that stand above them.
struct Page {
    types: BTreeMap<String, Type>,
    verbs: BTreeMap<String, String>,
}

impl Page {
    fn read() -> Self {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md");
        let text = std::fs::read_to_string(path).unwrap();
        let mut page = Self { types: BTreeMap::new(), verbs: BTreeMap::new() };
        let blocks = text.split("```ts\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        for block in blocks {
            page.block(block);
        }
        page
    }

    fn block(&mut self, block: &str) {
        let mut above: Vec<String> = Vec::new();
        let mut code = String::new();
        let mut definitions = Vec::new();
        for line in block.lines() {
            if let Some(verbs) = line.strip_prefix("// ") {
                above = verbs.split("; ").map(String::from).collect();
                continue;
            }
            if line.starts_with("interface ") || line.starts_with("type ") {
                definitions.push((std::mem::take(&mut code), std::mem::take(&mut above)));
            }
            code += line.split("//").next().unwrap();
            code.push('\n');
        }
        definitions.push((code, above));
        // a definition's verbs were taken when its own line began
        let verbs: Vec<Vec<String>> = definitions.iter().map(|(_, verbs)| verbs.clone()).collect();
        for (number, (code, _)) in definitions.iter().enumerate().skip(1) {
            let (name, found) = definition(code);
            for verb in &verbs[number - 1] {
                let verb = verb.split(',').next().unwrap().trim().to_string();
                assert!(self.verbs.insert(verb.clone(), name.clone()).is_none(), "{verb} twice");
            }
            assert!(self.types.insert(name.clone(), found).is_none(), "{name} twice");
        }
    }

    /// Panics where a value is not of a type.
    fn hold(&self, value: &Value, wanted: &Type, at: &str) {
        assert!(self.is(value, wanted, at).is_ok(), "{}", self.is(value, wanted, at).unwrap_err());
    }

    fn is(&self, value: &Value, wanted: &Type, at: &str) -> Result<(), String> {
        let fits = match wanted {
            Type::String => value.is_string(),
            Type::Number => value.is_number(),
            Type::Boolean => value.is_boolean(),
            Type::Null => value.is_null(),
            Type::Literal(text) => value == text.as_str(),
            Type::Named(name) => {
                let found = self.types.get(name).ok_or_else(|| format!("no type {name}"))?;
                return self.is(value, found, at);
            }
            Type::List(inner) => {
                let list = value.as_array().ok_or_else(|| format!("{at}: no list: {value}"))?;
                return list.iter().try_for_each(|value| self.is(value, inner, &format!("{at}[]")));
            }
            Type::Record(inner) => {
                let map = value.as_object().ok_or_else(|| format!("{at}: no object: {value}"))?;
                return map.iter().try_for_each(|(key, value)| self.is(value, inner, &format!("{at}.{key}")));
            }
            Type::OneOf(some) => some.iter().any(|one| self.is(value, one, at).is_ok()),
            Type::Object(members) => {
                let map = value.as_object().ok_or_else(|| format!("{at}: no object: {value}"))?;
                if let Some(unknown) = map.keys().find(|key| !members.contains_key(*key)) {
                    return Err(format!("{at}.{unknown} is not in docs/json.md"));
                }
                return members.iter().try_for_each(|(key, (inner, must))| match map.get(key) {
                    Some(value) => self.is(value, inner, &format!("{at}.{key}")),
                    None if *must => Err(format!("{at}.{key} is missing")),
                    None => Ok(()),
                });
            }
        };
        if fits { Ok(()) } else { Err(format!("{at}: {value} is no {wanted:?}")) }
    }

    fn verb(&self, verb: &str, said: &str) -> Value {
        let name = self.verbs.get(verb).unwrap_or_else(|| panic!("docs/json.md has no {verb}"));
        let value: Value = serde_json::from_str(said).unwrap_or_else(|why| panic!("{verb}: {why}: {said}"));
        self.hold(&value, &Type::Named(name.clone()), verb);
        value
    }
}

fn definition(code: &str) -> (String, Type) {
    let mut words = words(code);
    let kind = words.remove(0);
    let name = words.remove(0);
    if kind == "type" {
        assert_eq!(words.remove(0), "=");
    }
    let mut rest = words.as_slice();
    let found = union(&mut rest);
    (name, found)
}

/// Words and signs.
fn words(code: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '"' {
            let text: String = chars.by_ref().take_while(|c| *c != '"').collect();
            words.push(format!("\"{text}"));
        } else if c.is_alphanumeric() || c == '_' {
            let mut word = String::from(c);
            while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                word.push(c);
            }
            words.push(word);
        } else if !c.is_whitespace() {
            words.push(c.to_string());
        }
    }
    words
}

fn take(rest: &mut &[String], word: &str) -> bool {
    let is = rest.first().is_some_and(|first| first == word);
    if is {
        *rest = &rest[1..];
    }
    is
}

fn union(rest: &mut &[String]) -> Type {
    let mut some = vec![single(rest)];
    while take(rest, "|") {
        some.push(single(rest));
    }
    if some.len() == 1 { some.remove(0) } else { Type::OneOf(some) }
}

fn single(rest: &mut &[String]) -> Type {
    let (first, after) = rest.split_first().expect("a type");
    *rest = after;
    let mut found = match first.as_str() {
        "string" => Type::String,
        "number" => Type::Number,
        "boolean" => Type::Boolean,
        "null" => Type::Null,
        "{" => Type::Object(members(rest)),
        "Record" => {
            assert!(take(rest, "<") && take(rest, "string") && take(rest, ","));
            let inner = union(rest);
            assert!(take(rest, ">"));
            Type::Record(Box::new(inner))
        }
        word => match word.strip_prefix('"') {
            Some(text) => Type::Literal(text.into()),
            None => Type::Named(word.into()),
        },
    };
    while take(rest, "[") {
        assert!(take(rest, "]"));
        found = Type::List(Box::new(found));
    }
    found
}

fn members(rest: &mut &[String]) -> BTreeMap<String, (Type, bool)> {
    let mut members = BTreeMap::new();
    while !take(rest, "}") {
        let name = rest[0].clone();
        *rest = &rest[1..];
        let must = !take(rest, "?");
        assert!(take(rest, ":"), "after {name}");
        members.insert(name, (union(rest), must));
        take(rest, ";");
    }
    members
}

#[test]
fn a_page_is_read_and_what_does_not_fit_is_found() {
    let mut page = Page { types: BTreeMap::new(), verbs: BTreeMap::new() };
    page.block("// vrift x; vrift y, too\ninterface A { a: string | null; b?: B[] } // c\ntype B = \"p\" | number;\n");
    assert_eq!((page.verbs["vrift x"].as_str(), page.verbs["vrift y"].as_str()), ("A", "A"));
    let is = |text: &str| page.is(&serde_json::from_str(text).unwrap(), &Type::Named("A".into()), "");
    assert_eq!(is(r#"{"a": null, "b": ["p", 1]}"#), Ok(()));
    for wrong in [r#"{"a": 1}"#, "{}", r#"{"a": null, "c": 1}"#, r#"{"a": null, "b": ["q"]}"#, "[]"] {
        assert!(is(wrong).is_err(), "{wrong}");
    }
}

/// Every verb that takes --json has a shape on the page, under its own name.
#[test]
fn every_verb_with_json_is_on_the_page() {
    fn look(command: &clap::Command, name: &str, page: &Page) {
        let has = command.get_arguments().any(|arg| arg.get_id() == "json");
        assert!(!has || page.verbs.contains_key(name), "docs/json.md does not have `// {name}`");
        for inner in command.get_subcommands() {
            look(inner, &format!("{name} {}", inner.get_name()), page);
        }
    }
    let mut page = Page::read();
    let commit = page.verbs["vrift commit"].clone();
    page.verbs.insert("vrift snapshot create".into(), commit);
    look(&vrift::cli::Cli::command(), "vrift", &page);
}

#[test]
fn what_is_printed_is_what_the_page_says() {
    needs_sessions!();
    let page = Page::read();
    let world = World::new();
    let held = |verb: &str, words: &[&str]| {
        let ran = world.run(words.iter().copied().chain(["--json"]));
        page.verb(verb, &ran.stdout())
    };
    world.write("a", "one\n");
    world.write("dir/b", "two\n");
    assert_eq!(held("vrift sync", &["sync"])["files_read"], 2);
    world
        .sh("echo x > new; ln -s new link; mkfifo pipe; mkdir d && echo y > d/z; rm a; chmod 600 dir/b")
        .ok();
    assert!(held("vrift diff", &["diff"]).as_array().unwrap().len() > 5);
    held("vrift commit", &["commit", "-m", "first"]);
    held("vrift fork", &["fork", "f"]);
    world.run(["exec", "-w", "f", "--", "sh", "-c", "echo f > of-f"]).ok();
    held("vrift merge", &["merge", "f", "--dry-run"]);
    assert_eq!(held("vrift workspace list", &["workspace", "list"]).as_array().unwrap().len(), 2);
    held("vrift merge", &["merge", "f"]);
    for verb in ["log", "snapshot list"] {
        let words: Vec<&str> = verb.split(' ').collect();
        assert!(!held(&format!("vrift {verb}"), &words).as_array().unwrap().is_empty());
    }
    held("vrift snapshot show", &["snapshot", "show", "s1"]);
    assert!(held("vrift log --heads", &["log", "--heads"]).as_array().unwrap().len() > 1);
    assert!(!held("vrift runs", &["runs"])["finished"].as_array().unwrap().is_empty());
    held("vrift apply", &["apply", "--dry-run"]);
    // both sides change a file
    world.sh("echo inside > dir/b").ok();
    world.edit("dir/b", "outside\n");
    held("vrift sync", &["sync"]);
    world.edit("late", "late\n");
    let status = held("vrift status", &["status"]);
    for list in ["host", "changes", "conflicts"] {
        assert!(!status[list].as_array().unwrap().is_empty(), "{list}: {status}");
    }
    held("vrift status --paths", &["status", "--paths"]);
    held("vrift doctor PATH", &["doctor", "a"]);
    held("vrift doctor", &["doctor"]);
    held("vrift config", &["config", "--config", "paths.own=[\"x\"]"]);
    assert!(held("vrift stats", &["stats"])["here"].is_object());
    held("vrift project list", &["project", "list"]);
    held("vrift gc", &["gc", "--dry-run"]);
    let bundle = world.path().join("bundle");
    world.run(["bundle", "create", bundle.to_str().unwrap(), "s1"]).ok();
    held("vrift bundle load", &["bundle", "load", bundle.to_str().unwrap(), "loaded"]);
    world.run(["sync"]).ok();
    held("vrift apply", &["apply"]);
    held("vrift verify", &["verify"]);
    // a killed run's session, and findings
    let ready = world.path().join("ready");
    let mut killed = world.vrift();
    let script = format!("echo left > left; : > {}; sleep 100", ready.display());
    let mut killed = killed.args(["exec", "sh", "-c", &script]).stderr(Stdio::null()).spawn().unwrap();
    while !ready.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    while held("vrift recover", &["recover"]).as_array().unwrap().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let object = world.objects().into_iter().next().unwrap();
    std::fs::remove_file(object).unwrap();
    assert!(!held("vrift verify", &["verify"])["found"].as_array().unwrap().is_empty());
}

#[test]
fn a_live_run_and_its_events_are_as_the_page_says() {
    needs_sessions!();
    let page = Page::read();
    let world = World::new();
    let vrift = env!("CARGO_BIN_EXE_vrift");
    let store = world.store.display();
    // asked from outside while it lives: the script's shell is the only run
    let script = format!("{vrift} --store {store} status --json; echo x > y");
    page.verb("vrift status", &world.sh(&script).ok());
    let mut live = world.vrift();
    let (ready, go) = (world.path().join("ready"), world.path().join("go"));
    let script = format!(": > {}; while [ ! -e {} ]; do sleep 0.02; done", ready.display(), go.display());
    let mut live = live.args(["exec", "sh", "-c", &script]).stderr(Stdio::null()).spawn().unwrap();
    while !ready.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let runs = page.verb("vrift runs", &world.run(["runs", "--json"]).ok());
    let status = page.verb("vrift status", &world.run(["status", "--json"]).ok());
    world.write("edit", "edit\n");
    let sync = page.verb("vrift sync", &world.run(["sync", "--json"]).ok());
    std::fs::write(&go, "").unwrap();
    live.wait().unwrap();
    assert_eq!(runs["live"].as_array().unwrap().len(), 1);
    assert_eq!(status["runs"].as_array().unwrap().len(), 1);
    assert_eq!(sync["live"]["written"][0], "edit");
}
