"""Parts about builds, hashing and what a store takes: projects that are made here, always the same."""

import os
import random

from bed import Case, Failed

FILES = 120  # of the C project
C_FUNCTION = """
static long step_{n}(struct state *s, long x)
{{
    for (long i = 0; i < (x & 15) + {n} % 7; i++) {{
        s->sums[(x + i) % 64] += x * {m} + i;
        if (s->sums[i % 64] % {d} == 0) {{ s->turns++; x ^= s->sums[(i + 3) % 64]; }} else {{ x += s->turns >> 1; }}
    }}
    return x + s->sums[{n} % 64];
}}
"""
RUST_MODULE = """
use std::collections::BTreeMap;
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part{n} {{ pub names: BTreeMap<String, Vec<u64>>, pub total: u64 }}
impl Part{n} {{
    pub fn add(&mut self, name: &str, value: u64) -> &mut Self {{
        self.names.entry(format!("{{name}}-{n}")).or_default().push(value.wrapping_mul({m}));
        self.total = self.names.values().flatten().copied().fold({n}, u64::wrapping_add);
        self
    }}
    pub fn best(&self) -> Option<(&str, u64)> {{
        let sums = self.names.iter().map(|(name, values)| (name.as_str(), values.iter().copied().max().unwrap_or({d})));
        sums.max_by_key(|(name, value)| (*value, name.len()))
    }}
    pub fn shown(&self) -> String {{
        self.names.iter().map(|(name, values)| format!("{{name}}: {{values:?}}")).collect::<Vec<_>>().join("\\n")
    }}
}}
"""


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as out:
        out.write(text)


def c_project(top, files, functions=10):
    """A library of so many C files with a header each, a common one, and a Makefile that knows what includes what."""
    rng = random.Random(7)
    write(f"{top}/include/state.h", "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
          "struct state { long sums[64]; long turns; };\n")
    for number in range(files):
        place = f"src/part{number % 20}"
        write(f"{top}/include/f{number}.h", f"long f{number}(struct state *s, long x);\n")
        used = sorted(rng.sample(range(files), min(5, files)))
        parts = ['#include "state.h"\n', *(f'#include "f{other}.h"\n' for other in {*used, number})]
        parts += [C_FUNCTION.format(n=n, m=rng.randrange(3, 999), d=rng.randrange(2, 99)) for n in range(functions)]
        calls = "\n".join(f"    x += step_{n}(s, x);" for n in range(functions))
        parts.append(f"long f{number}(struct state *s, long x)\n{{\n{calls}\n    return x;\n}}\n")
        write(f"{top}/{place}/f{number}.c", "".join(parts))
    calls = "".join(f"    x = f{number}(&s, x);\n" for number in range(files))
    includes = "".join(f'#include "f{number}.h"\n' for number in range(files))
    write(f"{top}/src/main.c", f'#include "state.h"\n{includes}int main(void)\n{{\n    struct state s = {{{{0}}, 0}};\n'
          f'    long x = 1;\n{calls}    printf("%ld\\n", x);\n    return 0;\n}}\n')
    write(f"{top}/Makefile",
          "CFLAGS = -O2\nSRC := $(wildcard src/*.c src/*/*.c)\nOBJ := $(SRC:src/%.c=out/%.o)\n"
          "prog: $(OBJ)\n\t$(CC) -o $@ $(OBJ)\n"
          "out/%.o: src/%.c\n\t@mkdir -p $(@D)\n\t$(CC) $(CFLAGS) -Iinclude -MMD -c -o $@ $<\n"
          "-include $(OBJ:.o=.d)\nclean:\n\trm -rf out prog\n")
    write(f"{top}/.gitignore", "/out/\n/prog\n")


def small_project(top, files):
    """C files that are all but empty, one object each."""
    for number in range(files):
        write(f"{top}/f{number}.c", f"int f{number}(int x) {{ return x * {number + 3}; }}\n")
    write(f"{top}/Makefile", "OBJ := $(patsubst %.c,%.o,$(wildcard *.c))\nall: $(OBJ)\n"
          "%.o: %.c\n\t$(CC) -c -o $@ $<\n")


def cargo_workspace(top, crates, modules):
    """Crates that use one another, and no crate from elsewhere."""
    rng = random.Random(11)
    members = ", ".join(f'"crate{number}"' for number in range(crates))
    write(f"{top}/Cargo.toml", f'[workspace]\nmembers = [{members}]\nresolver = "2"\n')
    for number in range(crates):
        needs = "".join(f'crate{other} = {{ path = "../crate{other}" }}\n' for other in range(number) if other % 3 == number % 3)
        write(f"{top}/crate{number}/Cargo.toml",
              f'[package]\nname = "crate{number}"\nversion = "0.1.0"\nedition = "2021"\n\n[dependencies]\n{needs}')
        for module in range(modules):
            write(f"{top}/crate{number}/src/part{module}.rs",
                  RUST_MODULE.format(n=module, m=rng.randrange(3, 9999), d=rng.randrange(9)))
        uses = "".join(f"pub mod part{module};\n" for module in range(modules))
        body = "\n".join(f'    total = total.wrapping_add(part{module}::Part{module}::default().add("a", total).total);'
                         for module in range(modules))
        write(f"{top}/crate{number}/src/lib.rs", f"{uses}pub fn all() -> u64 {{\n    let mut total: u64 = {number};\n{body}\n    total\n}}\n")


def build(bed):
    """A whole build inside and in the bare directory."""
    jobs = [(f"a C project of {FILES} files", "c", ["make", "-s", "-j2"], ["rm", "-rf", "out", "prog"])]
    c_project(bed.path("c"), FILES)
    if bed.has("cargo"):
        cargo_workspace(bed.path("cargo"), 9, 8)
        bed.run("cargo", "generate-lockfile", "--offline", cwd="cargo")
        jobs.append(("a cargo workspace of 9 crates", "cargo", ["cargo", "build", "-q", "--offline"], ["rm", "-rf", "target"]))
    else:
        bed.leave_out("a cargo workspace", "there is no cargo that this user may run")
    for words, name, argv, clean in jobs:
        bed.run("vrift", "-q", "-C", name, "exec", "true")
        run = ["vrift", "-q", "exec", "--no-sync", "--"]
        cases = bed.compare(f"full build of {words}", [
            Case(f"`vrift -q exec --no-sync -- {' '.join(argv)}`", [*run, *argv], cwd=name,
                 prepare=lambda name=name, clean=clean: bed.run(*run, *clean, cwd=name)),
            Case(f"`{' '.join(argv)}`", argv, cwd=name, prepare=lambda name=name, clean=clean: bed.run(*clean, cwd=name)),
        ], 4, note="Both with an empty output directory; what `vrift exec` takes in at the end is in its time.")
        bed.aim(f"full build of {words}", "bare directory", 1.03, cases[0].median / cases[1].median)
        bed.remove(name)


def compiler(bed):
    """A compiler command that is a run of its own, five hundred times."""
    files = 500
    small_project(bed.path("cc"), files)
    bed.run("vrift", "-q", "-C", "cc", "exec", "true")
    sandbox = "bwrap --unshare-user --unshare-pid --bind / / --dev /dev --proc /proc cc"
    clean = lambda: bed.run("sh", "-c", "rm -f *.o && vrift -q sync", cwd="cc")
    cc = "vrift -q exec --no-sync --apply -- cc"
    cases = bed.compare(f"a make of {files} small C files, each compiler a run", [
        Case(f'`make -j2 CC="{cc}"`', ["make", "-s", "-j2", f"CC={cc}"], cwd="cc", prepare=clean),
        Case("`make -j2`", ["make", "-s", "-j2"], cwd="cc", prepare=clean),
        Case(f'`make -j2 CC="{sandbox}"`', ["make", "-s", "-j2", f"CC={sandbox}"], cwd="cc", prepare=clean),
    ], 2)
    bed.once(cases[0])
    if bed.run("make", "-q", f"CC={cc}", cwd="cc", check=False):
        raise Failed("the second make had something to do")
    bed.aim(f"make -j2 with each of {files} compilers a run, applied", "bare make", 1.6, cases[0].median / cases[1].median)
    bed.aim("the same", "each a bubblewrap", 0.8, cases[0].median / cases[2].median)
    bed.remove("cc")


def clone(bed):
    """A fresh clone on a warm workspace: times are new, contents are not."""
    c_project(bed.path("origin"), FILES)
    write(bed.path("origin/vrift.toml"), '[sync]\nmtime = "content"\n[paths]\nown = ["out", "prog"]\n')
    for argv in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        bed.run("git", *argv, cwd="origin")
    again = lambda: bed.run("sh", "-c", "rm -rf cloned && git clone -q origin cloned")
    again()
    bed.run("vrift", "-q", "-C", "cloned", "exec", "--", "make", "-s", "-j2")
    if bed.has("ccache"):
        ccache = {"CCACHE_DIR": bed.path("ccache"), "CCACHE_BASEDIR": bed.path("cloned")}
    cases = [
        Case("`vrift -q exec -- make -j2`, the workspace warm", ["vrift", "-q", "exec", "--", "make", "-s", "-j2"],
             cwd="cloned", prepare=again),
        Case("`make -j2`", ["make", "-s", "-j2"], cwd="cloned", prepare=again),
    ]
    if bed.has("ccache"):
        cases.append(Case('`make -j2 CC="ccache cc"`, the cache warm', ["make", "-s", "-j2", "CC=ccache cc"],
                          cwd="cloned", env=ccache, prepare=again))
    cases = bed.compare(f"a full build in a fresh clone ({FILES} C files, `mtime = content`)", cases, 4)
    bed.aim("fresh clone on a warm workspace, `mtime = content`, full build", "bare build", 0.1,
            cases[0].median / cases[1].median)
    bed.remove("origin", "cloned", "ccache")


def hashing(bed):
    """Reading 2 GB again because its mtime moved, beside b3sum."""
    size = 2_000_000_000 if bed.scale.rounds >= 1 else 400_000_000
    if not bed.has("b3sum"):
        raise Failed("there is no b3sum")
    bed.run("mkdir", "-p", "big")
    with open(bed.path("big/file"), "wb") as out:
        block = random.Random(5).randbytes(1 << 24)
        for number in range(0, size, len(block)):
            out.write(number.to_bytes(8, "little") + block[8:min(len(block), size - number)])
    bed.run("vrift", "-q", "-C", "big", "sync")
    bed.settle()
    cases = bed.compare(f"hashing a file of {size / 1e9:g} GB again", [
        Case("`touch file`, then `vrift -C big sync`", ["vrift", "-C", "big", "sync"],
             prepare=lambda: bed.run("touch", "big/file")),
        Case("`b3sum big/file`", ["b3sum", "big/file"]),
    ], 7, note="The cache warm; what `touch` takes is not in the time.")
    bed.aims_of(f"hashing a {size / 1e9:g} GB file", cases, {"`b3sum": ("`b3sum`", 1.1)})
    bed.remove("big")


def sizes(bed):
    """What a store takes for ten checkouts of neighbouring versions."""
    from trees import tree
    files = 1000
    name, _ = tree(bed, files)
    store, rng = {"VRIFT_STORE": bed.path("store-sizes")}, random.Random(3)
    bed.run("cp", "-a", name, "version")
    paths = sorted(os.path.join(top, file) for top, _, found in os.walk(bed.path("version")) for file in found)
    bed.run("git", "init", "-q", "packed")
    git = {"GIT_DIR": bed.path("packed/.git"), "GIT_WORK_TREE": bed.path("version")}
    for number in range(10):
        for path in rng.sample(paths, max(1, len(paths) // 100)) if number else []:
            with open(path, "a", encoding="ascii") as out:
                out.write(f"a line of version {number};\n")
        bed.run("cp", "-a", "version", f"version{number}")
        bed.run("vrift", "-q", "-C", f"version{number}", "exec", "true", env=store)
        bed.run("git", "add", "-A", env=git)
        bed.run("git", "commit", "-q", "-m", str(number), env=git)
    bed.run("git", "gc", "-q", "--prune=now", env=git)
    used = lambda path: int(bed.run("du", "-s", "--block-size=1", path, check=False).split()[0])
    ours, packed = used("store-sizes"), used("packed/.git")
    copies = sum(used(f"version{number}") for number in range(10))
    mib = lambda count: f"{count / (1 << 20):.1f} MiB"
    bed.aim(f"store size of 10 checkouts of {files:,} files, 1 % changed each", "`du` of plain copies", 0.3, ours / copies)
    bed.aim("the same", "git's packed size", None, ours / packed)
    bed.notes.append(f"Ten checkouts: store {mib(ours)}, with what shows each of them; plain copies {mib(copies)}; "
                     f"git's pack of the ten commits {mib(packed)}.")
    bed.remove("store-sizes", "version", "packed", *(f"version{number}" for number in range(10)))
