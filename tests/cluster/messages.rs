//! Messages that do not belong together, were tampered with or damaged are refused, and nothing is changed by them.

use relax_nn::StateTensor;
use relax_rl::Error;
use relax_rl::cluster::{Learner, rollout};
use relax_runtime::sealed::{self, Format};

use super::RUN;
use crate::common::config;

pub const MESSAGE: Format = Format { name: "relax-rl message", version: 1 };

/// The message with a word changed and a checksum that is right again.
fn with(bytes: &[u8], word: &str, text: &str) -> Vec<u8> {
    let (mut words, arrays) = sealed::decode(&MESSAGE, bytes).unwrap();
    words.insert(word.to_owned(), text.to_owned());
    sealed::encode(&MESSAGE, &words, &arrays).0
}

#[test]
fn what_does_not_belong_together_is_refused_with_a_sentence() {
    let config = config(RUN, &[]);
    let mut learner = Learner::new(&config).unwrap();
    let policy = learner.policy();
    let (batch, states) = rollout(&config, &policy, &[], 0..5).unwrap();
    learner.improve(&[&batch]).unwrap();
    learner.fit().unwrap();
    let (policy, saved) = (learner.policy(), learner.state().unwrap());
    let hash = learner.state_hash();
    let (batch, _) = rollout(&config, &policy, &states, 0..5).unwrap();

    let words = [
        ("crate_version", "9.9.9", "from relax-rl 9.9.9, and this is relax-rl"),
        ("instruction_set", "abacus", "from a machine that computes on abacus, and this one computes on"),
        ("elementary_functions", "0", "sines and exponentials are rounded otherwise"),
        ("run", "0", "of another run: environment, agent, settings or seed differ"),
        ("kind", "greeting", "of another kind: it says \"greeting\""),
    ];
    for (word, text, wanted) in words {
        let refusals = [
            rollout(&config, &with(&policy, word, text), &states, 0..5).map(|_| ()),
            rollout(&config, &policy, &with(&states, word, text), 0..5).map(|_| ()),
            learner.improve(&[with(&batch, word, text)]),
            learner.restore(&with(&saved, word, text)),
        ];
        for (refusal, subject) in
            refusals.into_iter().zip(["policy is", "states are", "batch is", "state is"])
        {
            let error = refusal.unwrap_err();
            let text = error.to_string();
            assert!(text.contains(wanted) && text.contains(subject) && error.exit_code() == 2, "{text}");
        }
    }
    let (words, arrays) = sealed::decode(&MESSAGE, &policy).unwrap();
    let future = Format { version: 2, ..MESSAGE };
    let error = rollout(&config, &sealed::encode(&future, &words, &arrays).0, &states, 0..5).unwrap_err();
    assert!(error.to_string().contains("format version 2") && error.hint().is_some(), "{error}");

    // Another seed is another run.
    let other = crate::common::config(RUN, &["run.seed=4"]);
    let error = rollout(&other, &policy, &states, 0..5).unwrap_err();
    assert!(error.to_string().contains("of another run"), "{error}");
    // Another budget is not.
    let longer = crate::common::config(RUN, &["run.env_steps=9000", "rollout.workers=2"]);
    assert_eq!(rollout(&longer, &policy, &states, 0..5).unwrap().0, batch);

    // Slots and rounds.
    let told = |error: Error| error.to_string();
    let half = |slots: std::ops::Range<usize>| {
        let mut fresh = Learner::new(&config).unwrap();
        let policy = fresh.policy();
        let all = rollout(&config, &policy, &[], slots).unwrap();
        fresh.improve(&[&all.0]).map(|()| all)
    };
    assert!(told(half(0..3).unwrap_err()).contains("the batch of slots 3–4 is missing"));
    assert!(told(half(2..5).unwrap_err()).contains("the batch of slots 0–1 is missing"));
    let twice = learner.improve(&[batch.clone(), batch.clone()]).unwrap_err();
    assert!(told(twice).contains("there are two batches of slots 0–4"));
    let nothing: [&[u8]; 0] = [];
    assert!(told(learner.improve(&nothing).unwrap_err()).contains("slots 0–4 is missing"));
    let (old, _) = rollout(&config, &Learner::new(&config).unwrap().policy(), &[], 0..5).unwrap();
    assert!(told(learner.improve(&[old]).unwrap_err()).contains("made with another policy than the last"));
    assert!(told(rollout(&config, &policy, &states, 0..4).unwrap_err()).contains("are of slots 0–4, not of"));
    assert!(told(rollout(&config, &policy, &[], 0..5).unwrap_err()).contains("have no states"));
    assert!(told(rollout(&config, &policy, &states, 3..9).unwrap_err()).contains("no slots 3..9"));
    let none = 2..2;
    assert!(told(rollout(&config, &policy, &states, none).unwrap_err()).contains("no slots 2..2"));

    // Order.
    assert!(told(learner.fit().unwrap_err()).contains("nothing to fit"));
    assert_eq!(learner.state_hash(), hash, "what is refused changes nothing");
    learner.improve(&[&batch]).unwrap();
    assert!(told(learner.state().unwrap_err()).contains("`fit` does it"));
    assert!(told(learner.improve(&[batch]).unwrap_err()).contains("`fit` does it"));
    learner.fit().unwrap();
}

/// What a batch says beyond what can be derived is checked before anything is learned from it.
#[test]
fn a_batch_that_was_tampered_with_is_refused() {
    for sets in [&["env.id=TicTacToe-v0"][..], &["env.id=Pendulum-v1", "env.max_episode_steps=10"]] {
        let config = config(RUN, sets);
        let mut learner = Learner::new(&config).unwrap();
        let hash = learner.state_hash();
        let (batch, _) = rollout(&config, &learner.policy(), &[], 0..5).unwrap();
        let (words, good) = sealed::decode(&MESSAGE, &batch).unwrap();
        let names: Vec<String> = good.iter().map(|(name, _)| name.to_owned()).collect();
        for name in &names {
            let tensor = good.get(name).unwrap();
            let wrong: Vec<StateTensor> = match tensor.clone() {
                StateTensor::F32 { data, .. } => {
                    let changed = |change: &dyn Fn(&mut Vec<f32>)| {
                        let mut data = data.clone();
                        change(&mut data);
                        StateTensor::F32 { shape: vec![data.len()], data }
                    };
                    let mut all = vec![changed(&|data| data.push(0.0))];
                    if !data.is_empty() {
                        all.push(changed(&|data| data.truncate(data.len() - 1)));
                        all.push(changed(&|data| data[0] = f32::NAN));
                    }
                    all
                }
                StateTensor::F64(data) => vec![StateTensor::F64([&data[..], &[1.0]].concat())],
                StateTensor::U64(data) => {
                    let mut all = vec![StateTensor::U64([&data[..], &[1]].concat())];
                    // An episode may be of any length.
                    if !data.is_empty() && name != "lengths" {
                        let mut big = data.clone();
                        big[data.len() / 2] = 1 << 40;
                        all.extend([StateTensor::U64(big), StateTensor::U64(data[1..].to_vec())]);
                    }
                    all
                }
                StateTensor::U8(mut data) => {
                    let mut all = vec![StateTensor::U8([&data[..], &[1]].concat())];
                    if let Some(first) = data.first_mut() {
                        *first = 2;
                        all.push(StateTensor::U8(data));
                    }
                    all
                }
            };
            for tensor in wrong {
                let mut arrays = good.clone();
                arrays.insert(name, tensor.clone());
                let (bytes, _) = sealed::encode(&MESSAGE, &words, &arrays);
                let error = learner.improve(&[bytes]).expect_err(name);
                assert!(error.to_string().contains("the batch is no usable message"), "{name}: {error}");
            }
        }
        // More steps than there were to be.
        let many = crate::common::config(RUN, &[sets, &["rollout.steps=30"]].concat());
        let (long, _) = rollout(&many, &Learner::new(&many).unwrap().policy(), &[], 0..5).unwrap();
        let (mut theirs, arrays) = sealed::decode(&MESSAGE, &long).unwrap();
        theirs.clone_from(&words);
        let error = learner.improve(&[sealed::encode(&MESSAGE, &theirs, &arrays).0]).unwrap_err();
        assert!(error.to_string().contains("was to take at most 24"), "{error}");
        assert_eq!(learner.state_hash(), hash);
        learner.improve(&[batch]).unwrap();
    }
}

/// Damage on the way is found.
#[test]
fn a_damaged_message_is_an_error() {
    let config = config(RUN, &[]);
    let mut learner = Learner::new(&config).unwrap();
    let policy = learner.policy();
    let (batch, states) = rollout(&config, &policy, &[], 0..5).unwrap();
    for (bytes, which) in [(&policy, 0), (&states, 1), (&batch, 2)] {
        for at in (0..bytes.len()).step_by(bytes.len() / 60 + 1) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            for damaged in [&bytes[..at], &flipped] {
                let refused = match which {
                    0 => rollout(&config, damaged, &[], 0..5).is_err(),
                    // Nothing at all is the beginning.
                    1 => damaged.is_empty() || rollout(&config, &policy, damaged, 0..5).is_err(),
                    _ => learner.improve(&[damaged]).is_err(),
                };
                assert!(refused, "message {which}, byte {at}");
            }
        }
    }
    learner.improve(&[batch]).unwrap();
}
