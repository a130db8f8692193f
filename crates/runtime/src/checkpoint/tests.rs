use super::*;
use crate::sealed::{NO_CHECKSUM, hex};
use relax_nn::StateTensor;
use serde_json::json;
use sha2::{Digest, Sha256};

fn example() -> (Header, StateDict) {
    let mut state = StateDict::new();
    let shape = vec![2, 3];
    let data = vec![0.1, -0.0, f32::MIN_POSITIVE, 1e30, f32::INFINITY, -7.5];
    state.insert("policy.parameters", StateTensor::F32 { shape, data });
    state.insert("normalizer.mean", StateTensor::F64(vec![1.0 / 3.0, f64::MAX]));
    state.insert("streams", StateTensor::U64(vec![u64::MAX, 0, 7]));
    state.insert("note", StateTensor::U8(b"abc".to_vec()));
    state.insert("empty", StateTensor::F64(Vec::new()));
    let mut header = Header::new("[env]\nid = \"CartPole-v1\" # ü\n");
    header.notes.insert("env_steps".into(), "123".into());
    (header, state)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn load_bytes(folder: &tempfile::TempDir, bytes: &[u8]) -> Result<(Header, StateDict), CheckpointError> {
    let path = folder.path().join("x.safetensors");
    std::fs::write(&path, bytes).expect("write");
    load(&path)
}

/// A file with this header text and these data, its checksum made right.
fn forge(entries: serde_json::Value, data: &[u8]) -> Vec<u8> {
    let text = entries.to_string();
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes.extend_from_slice(data);
    let digits = hex(&Sha256::digest(&bytes));
    let text = text.replace(NO_CHECKSUM, &digits);
    bytes[8..8 + text.len()].copy_from_slice(text.as_bytes());
    bytes
}

fn words() -> serde_json::Value {
    json!({ "format": FORMAT.name, "format_version": "1", "crate_version": "0.1.0", "config": "", "sha256": NO_CHECKSUM })
}

#[test]
fn what_is_saved_comes_back() {
    let (header, state) = example();
    let folder = folder();
    let path = folder.path().join("latest.safetensors");
    save(&path, &header, &state).expect("saves");
    assert_eq!(load(&path).expect("loads"), (header.clone(), state.clone()));
    assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 1, "the temporary file is gone");
    assert_eq!(encode(&header, &state), encode(&header, &state), "the bytes depend on the content alone");
}

#[test]
fn the_file_is_a_safetensors_file() {
    let (header, state) = example();
    let bytes = encode(&header, &state);
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("the library reads it");
    assert_eq!(file.len(), 5);
    assert_eq!(file.tensor("policy.parameters").expect("there").shape(), [2, 3]);
    let header_len = u64::from_le_bytes(bytes[..8].try_into().expect("eight"));
    assert_eq!(header_len % 8, 0, "the arrays are aligned");
}

#[test]
fn every_truncation_is_an_error() {
    let (header, state) = example();
    let bytes = encode(&header, &state);
    let folder = folder();
    for length in 0..bytes.len() {
        let error = load_bytes(&folder, &bytes[..length]).expect_err("cut short");
        assert!(matches!(error, CheckpointError::Damaged { .. }), "{length}: {error}");
        assert!(error.to_string().contains("x.safetensors") && error.hint().is_some());
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert!(load_bytes(&folder, &longer).is_err(), "one byte too many");
}

#[test]
fn every_single_flipped_bit_is_an_error() {
    let (header, state) = example();
    let bytes = encode(&header, &state);
    let folder = folder();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        assert!(load_bytes(&folder, &damaged).is_err(), "byte {at}");
    }
}

#[test]
fn random_damage_is_an_error() {
    let (header, state) = example();
    let bytes = encode(&header, &state);
    let folder = folder();
    // A linear congruential generator (Knuth's MMIX) is random enough for this and needs no crate.
    let mut random = 1u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    for round in 0..2000 {
        let mut damaged = bytes.clone();
        for _ in 0..1 + next(8) {
            let at = next(damaged.len());
            damaged[at] = next(256) as u8;
        }
        if next(4) == 0 {
            damaged.truncate(next(damaged.len()));
        }
        if damaged != bytes {
            assert!(load_bytes(&folder, &damaged).is_err(), "round {round}");
        }
    }
}

#[test]
fn hostile_headers_are_errors() {
    let folder = folder();
    let reason = |bytes: &[u8]| load_bytes(&folder, bytes).expect_err("hostile").to_string();
    assert!(reason(&[0xff; 64]).contains("header would be"));
    assert!(reason(&(1u64 << 40).to_le_bytes()).contains("header would be"));
    let many = "[".repeat(4000);
    let nested = [&(many.len() as u64).to_le_bytes()[..], many.as_bytes()].concat();
    assert!(reason(&nested).contains("not that of a safetensors file"));
    let one = |info: serde_json::Value, data: &[u8]| {
        reason(&forge(json!({ "__metadata__": words(), "a": info }), data))
    };
    let huge = [1u64 << 40, 1 << 40];
    assert!(
        one(json!({ "dtype": "F32", "shape": huge, "data_offsets": [0, 8] }), &[0; 8]).contains("header")
    );
    let far = 1u64 << 50;
    let text = one(json!({ "dtype": "U8", "shape": [far], "data_offsets": [0, far] }), &[0; 8]);
    assert!(text.contains("promises"), "{text}");
    assert!(one(json!({ "dtype": "U8", "shape": [4], "data_offsets": [4, 8] }), &[0; 8]).contains("header"));
    assert!(one(json!({ "dtype": "U8", "shape": [4], "data_offsets": [4, 0] }), &[0; 8]).contains("header"));
    let text = one(json!({ "dtype": "I16", "shape": [4], "data_offsets": [0, 8] }), &[0; 8]);
    assert!(text.contains("`a` is I16"), "{text}");
    let text = one(json!({ "dtype": "F64", "shape": [1, 1], "data_offsets": [0, 8] }), &[0; 8]);
    assert!(text.contains("shape [1, 1]"), "{text}");
    let overlapping = json!({ "__metadata__": words(),
        "a": { "dtype": "U8", "shape": [8], "data_offsets": [0, 8] },
        "b": { "dtype": "U8", "shape": [4], "data_offsets": [4, 8] } });
    assert!(reason(&forge(overlapping, &[0; 8])).contains("header"));
}

#[test]
fn a_forged_file_without_fault_is_read() {
    // The negative control of the test above: the forging itself is right.
    let entries =
        json!({ "__metadata__": words(), "a": { "dtype": "U8", "shape": [8], "data_offsets": [0, 8] } });
    let (_, state) = load_bytes(&folder(), &forge(entries, &[5; 8])).expect("sound");
    assert_eq!(state.get("a"), Ok(&StateTensor::U8(vec![5; 8])));
}

#[test]
fn other_formats_and_versions_are_told_apart() {
    let folder = folder();
    let mut other = words();
    other["format_version"] = "99".into();
    other["crate_version"] = "9.0.0".into();
    let error =
        load_bytes(&folder, &forge(json!({ "__metadata__": other }), &[])).expect_err("other version");
    assert!(matches!(error, CheckpointError::Version { .. }));
    assert!(error.to_string().contains("version 99") && error.to_string().contains("9.0.0"), "{error}");
    let foreign = forge(json!({ "__metadata__": { "format": "pt" } }), &[]);
    assert!(load_bytes(&folder, &foreign).expect_err("foreign").to_string().contains("not of this program"));
    let mut unsealed = words();
    unsealed["sha256"] = "".into();
    let unsealed = forge(json!({ "__metadata__": unsealed }), &[]);
    assert!(load_bytes(&folder, &unsealed).expect_err("unsealed").to_string().contains("no checksum"));
}

#[test]
fn a_missing_file_and_a_folder_are_told() {
    let folder = folder();
    let error = load(&folder.path().join("none")).expect_err("missing");
    assert!(matches!(error, CheckpointError::Missing { .. }) && !error.is_io());
    assert!(load(folder.path()).is_err());
    let (header, state) = example();
    let error = save(&folder.path().join("no/where"), &header, &state).expect_err("no folder");
    assert!(error.is_io());
}
