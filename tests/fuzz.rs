//! What reads files and messages is fed with nonsense: seeds from `tests/fuzz/corpus` and the configurations that come along, mutated.
//! Nothing panics. Some hundred or thousand inputs each as a test; `RELAX_FUZZ=1000000` makes a million, and watches the memory:
//!
//! ```text
//! RELAX_FUZZ=1000000 cargo test --release --test main fuzz -- --nocapture --test-threads 1
//! ```
//!
//! `RELAX_FUZZ_SEED` names another sequence of them, so that several machines can share the work. What is in the corpus was found
//! there: seeds of every format, and each input that made something panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use relax_envs::EnvRng;

mod targets;

use targets::{TARGETS, Target};

/// Inputs of a target, and whether they were asked for. Configurations and whole runs take longer than files.
fn wanted(target: &str) -> (u64, bool) {
    match std::env::var("RELAX_FUZZ") {
        Ok(text) => (text.parse().unwrap_or_else(|_| panic!("RELAX_FUZZ={text}: a number of inputs")), true),
        Err(_) if target.ends_with("toml") || ["restore", "overrides", "message"].contains(&target) => {
            (400, false)
        }
        Err(_) => (4_000, false),
    }
}

/// What is already known to be worth a try.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("tests/fuzz/corpus").join(target)];
    match target {
        "training_toml" | "recorded_toml" => folders.push(root.join("configs")),
        "vae_toml" => folders.push(root.join("configs/vae")),
        "checkpoint" => folders.push(root.join("tests/data/run-0.1.0/checkpoints")),
        _ => {}
    }
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten());
    let mut paths: Vec<_> = files.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    paths.sort();
    let seeds: Vec<_> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(!seeds.is_empty(), "{target} has no corpus");
    seeds
}

/// Words that mean something to one reader or another.
const WORDS: [&[u8]; 48] = [
    b"\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\0\0\0\x80",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"\x1f\x8b\x08",
    b"\x89PNG",
    b"IDAT",
    b"IHDR",
    b"-1",
    b"0",
    b"1e999",
    b"nan",
    b"inf",
    b"-inf",
    b"9223372036854775807",
    b"18446744073709551616",
    b"-9223372036854775808",
    b"1e-400",
    b"\"\"",
    b"[]",
    b"{}",
    b"[[]]",
    b"= ",
    b".",
    b"\n",
    b"\\u0000",
    b"\xef\xbb\xbf",
    b"1979-05-27T07:32:00Z",
    b"true",
    b"null",
    b"[learner]\n",
    b"[agent]\n",
    b"kind = \"ddpg\"\n",
    b"kind = \"reinforce\"\n",
    b"hidden = []\n",
    b"\"data_offsets\":[0,0]",
    b"\"dtype\":\"F64\"",
    b"\"shape\":[4294967296,4294967296]",
    b"\"shape\":[0]",
    b"__metadata__",
    b"\"hidden\":[65536,65536]",
    b"\"choices\":0",
    b"\"dim\":18446744073709551615",
    b"\"input\":0",
];

/// A number below `n`.
fn below(rng: &mut EnvRng, n: usize) -> usize {
    rng.integers(0, n.max(1) as i64) as usize
}

/// A seed with some places changed.
fn mutated(corpus: &[Vec<u8>], rng: &mut EnvRng) -> Vec<u8> {
    let mut data = corpus[below(rng, corpus.len())].clone();
    for _ in 0..1 + below(rng, 6) {
        let at = below(rng, data.len() + 1);
        let end = at + below(rng, (data.len() - at).min(40) + 1);
        match below(rng, 9) {
            0 if at < data.len() => data[at] ^= 1 << below(rng, 8),
            1 if at < data.len() => data[at] = below(rng, 256) as u8,
            2 => data.truncate(at),
            3 => drop(data.drain(at..end)),
            4 => {
                let part = data[at..end].to_vec();
                data.splice(at..at, part);
            }
            5 => {
                let other = &corpus[below(rng, corpus.len())];
                let from = below(rng, other.len() + 1);
                let to = from + below(rng, (other.len() - from).min(60) + 1);
                data.splice(at..end, other[from..to].iter().copied());
            }
            6 => {
                // A number becomes another one.
                if let Some(digit) = data[at..].iter().position(u8::is_ascii_digit).map(|offset| at + offset)
                {
                    let more = data[digit..]
                        .iter()
                        .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
                        .count();
                    let word = WORDS[12 + below(rng, 10)];
                    data.splice(digit..digit + more, word.iter().copied());
                }
            }
            7 => drop(data.splice(at..end, WORDS[below(rng, WORDS.len())].iter().copied())),
            _ => drop(data.splice(at..at, WORDS[below(rng, WORDS.len())].iter().copied())),
        }
    }
    data
}

/// Most memory that this process has held so far, in MiB; where that is not known, 0.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}

fn fuzz((name, target): Target) {
    let (count, asked) = wanted(name);
    let corpus = corpus(name);
    let seed = std::env::var("RELAX_FUZZ_SEED").map_or(0, |text| {
        text.parse().unwrap_or_else(|_| panic!("RELAX_FUZZ_SEED={text}: a number that names a sequence"))
    });
    let mut rng = EnvRng::from_seed_sequence(name.bytes().map(u64::from).sum(), &[seed]);
    let begun = std::time::Instant::now();
    let (before, feed) = (most_memory(), |data: &[u8]| {
        if catch_unwind(AssertUnwindSafe(|| target(data))).is_err() {
            let path = std::env::temp_dir().join(format!("relax-fuzz-{name}"));
            std::fs::write(&path, data).unwrap();
            panic!(
                "{name} panics; the input is {}, {} bytes: {:?}",
                path.display(),
                data.len(),
                String::from_utf8_lossy(data)
            );
        }
    });
    corpus.iter().for_each(|seed| feed(seed));
    for _ in 0..count {
        feed(&mutated(&corpus, &mut rng));
    }
    if asked {
        let (seconds, memory) = (begun.elapsed().as_secs_f64(), most_memory());
        println!(
            "{name}: {count} inputs in {seconds:.0} s, no panic; at most {memory} MiB of memory ({before} before)"
        );
        assert!(memory < 1024, "{name} takes {memory} MiB");
    }
}

/// One test a target.
macro_rules! tests {
    ($($name:ident),*) => {
        $(#[test] fn $name() { fuzz(*TARGETS.iter().find(|(name, _)| *name == stringify!($name)).unwrap()); })*

        #[test]
        fn every_target_has_a_test() {
            assert_eq!([$(stringify!($name)),*], TARGETS.map(|(name, _)| name));
        }
    };
}
tests!(
    checkpoint,
    restore,
    training_toml,
    recorded_toml,
    vae_toml,
    overrides,
    idx,
    zip,
    policy,
    environment,
    message
);
