use std::io::Write;
use std::path::Path;

use super::*;

#[test]
fn zeros_stay_paper_full_ink_stays_ink_and_the_rest_has_its_mean() {
    let grey = Images::new([0, 255, 51, 128].repeat(40_000), 4);
    let images = BinaryImages::new(grey.clone(), Binarization::Static, 3, 0);
    let mean = images.mean();
    assert_eq!((mean[0], mean[1]), (0.0, 1.0));
    for (mean, p) in [(mean[2], 51.0 / 255.0), (mean[3], 128.0 / 255.0)] {
        let z = (f64::from(mean) - p) / (p * (1.0 - p) / 40_000.0).sqrt();
        assert!(z.abs() < 4.0, "z = {z}");
    }
    let again = BinaryImages::new(grey.clone(), Binarization::Static, 3, 0);
    assert_eq!(images.image(7), again.image(7));
    let other = BinaryImages::new(grey.clone(), Binarization::Static, 4, 0);
    assert_ne!(images.mean(), other.mean());
    let threshold = BinaryImages::new(grey, Binarization::Threshold, 3, 0);
    assert_eq!(threshold.image(0), [0, 1, 0, 1]);
}

#[test]
fn mnist_is_the_well_known_data() {
    let data =
        mnist(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/mnist").as_ref()).expect("the bundled files");
    assert_eq!((data.rows, data.columns), (28, 28));
    assert_eq!([data.train.len(), data.validation.len(), data.test.len()], [50_000, 10_000, 10_000]);
    // The mean intensity of the 60 000 training images, 0.1307, is known to everybody who has normalised them.
    let sum: u64 =
        data.train.iter().chain(data.validation.iter()).flatten().map(|&value| u64::from(value)).sum();
    let mean = sum as f64 / (255.0 * 784.0 * 60_000.0);
    assert!((mean - 0.1306604762738429).abs() < 1e-12, "{mean}");
}

#[test]
fn every_epoch_holds_every_image_once_and_depends_on_its_number_alone() {
    let mut minibatches = Minibatches::new(10, 4, 7);
    let row: Vec<u32> = (0..10).flat_map(|i| minibatches.indices(i).to_vec()).collect();
    for epoch in row.chunks(10) {
        let mut sorted = epoch.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..10).collect::<Vec<u32>>());
    }
    assert_ne!(row[..10], row[10..20], "epochs are shuffled anew");
    let mut fresh = Minibatches::new(10, 4, 7);
    assert_eq!(fresh.indices(7), &row[28..32], "no matter what was asked before");
    assert_eq!(fresh.indices(2), &row[8..12], "not even across epochs");
    assert_ne!(Minibatches::new(10, 4, 8).indices(0), &row[..4], "the seed counts");
}

#[test]
fn shuffles_are_uniform() {
    // Where image 0 stands in each of 6000 epochs of 6 images: chi-squared with 5 degrees of freedom, 99.99 % below 25.7.
    let mut minibatches = Minibatches::new(6, 6, 1);
    let mut counts = [0u32; 6];
    for epoch in 0..6000 {
        let place = minibatches.indices(epoch).iter().position(|&index| index == 0).expect("it is there");
        counts[place] += 1;
    }
    let chi: f64 = counts.iter().map(|&count| (f64::from(count) - 1000.0).powi(2) / 1000.0).sum();
    assert!(chi < 25.7, "{counts:?}");
}

#[test]
fn dynamic_draws_are_fresh_at_each_iteration_and_repeatable() {
    let images = BinaryImages::new(Images::new(vec![128; 8 * 64], 64), Binarization::Dynamic, 5, 0);
    let draw = |iteration| {
        let mut out = vec![0.0; 2 * 64];
        images.batch(&[3, 4], iteration, &mut out);
        out
    };
    assert_eq!(draw(0), draw(0));
    assert_ne!(draw(0), draw(1));
    assert!(draw(0).iter().all(|&x| x == 0.0 || x == 1.0));
    assert!(
        images.mean().iter().all(|&mean| (mean - 128.0 / 255.0).abs() < 1e-6),
        "the mean is that of the grey values"
    );
}

/// An IDX file of bytes.
fn idx(shape: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    shape.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
    bytes.extend(values);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).expect("in memory");
    writer.finish().expect("in memory")
}

fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).expect("writes");
    }
    folder
}

#[track_caller]
fn refused<T>(found: Result<T, DataError>, parts: &[&str]) {
    let Err(error) = found else { panic!("it should say {parts:?}") };
    let text = format!("{error} {}", error.hint().unwrap_or_default());
    for part in parts {
        assert!(text.contains(part), "it should say {part:?}, but says: {text}");
    }
}

#[test]
fn idx_files_are_read_gzipped_or_plain() {
    let values: Vec<u8> = (0..24).collect();
    let bytes = idx(&[2, 3, 4], &values);
    let place = folder(&[("plain", &bytes), ("zipped", &gzip(&bytes))]);
    for name in ["plain", "zipped"] {
        let read = Idx::read(&place.path().join(name), 3).expect(name);
        assert_eq!((read.shape, read.values), (vec![2, 3, 4], values.clone()));
    }
}

#[test]
fn what_is_no_idx_file_is_refused() {
    let good = idx(&[2, 3], &[0; 6]);
    for (what, bytes, parts) in [
        ("empty", Vec::new(), ["x is cut short", ""]),
        ("a head without sizes", good[..6].to_vec(), ["cut short", ""]),
        ("one value less", good[..good.len() - 1].to_vec(), ["promises 6 values", "only 5"]),
        ("one value more", [&good[..], &[0]].concat(), ["promises 6 values", "more than 6"]),
        ("text", b"hello".to_vec(), ["is no IDX file", "00 00"]),
        ("shorts", [&[0, 0, 11, 2], &good[4..]].concat(), ["type 0x0b", "0x08"]),
        ("one dimension", idx(&[6], &[0; 6]), ["1 dimensions", "with 2 is needed"]),
        ("huge", idx(&[u32::MAX, u32::MAX], &[]), ["too large", "shape"]),
        ("large and empty", idx(&[60_000, 6_000], &[]), ["promises 360000000 values", "only 0"]),
        ("gzip cut short", gzip(&good)[..15].to_vec(), ["x is", "again"]),
        ("gzip damaged", [&gzip(&good)[..10], &[0xff; 20]].concat(), ["x is damaged", "again"]),
    ] {
        println!("{what}");
        let place = folder(&[("x", &bytes)]);
        refused(Idx::read(&place.path().join("x"), 2), &parts);
    }
    refused(Idx::read("nowhere/x".as_ref(), 2), &["cannot read nowhere/x"]);
}

#[test]
fn a_sixth_of_mnists_training_images_is_for_validation() {
    let train: Vec<u8> = (0..12).flat_map(|image| [image; 4]).collect();
    let (train, test) = (gzip(&idx(&[12, 2, 2], &train)), idx(&[1, 2, 2], &[7; 4]));
    let place = folder(&[("train-images-idx3-ubyte.gz", &train), ("t10k-images.idx3-ubyte", &test)]);
    let data = mnist(place.path()).expect("reads");
    let first = |images: &Images| images.iter().map(|image| image[0]).collect::<Vec<u8>>();
    assert_eq!(first(&data.train), (0..10).collect::<Vec<u8>>());
    assert_eq!((first(&data.validation), first(&data.test)), (vec![10, 11], vec![7]));

    std::fs::write(place.path().join("t10k-images.idx3-ubyte"), idx(&[1, 2, 3], &[7; 6])).expect("writes");
    refused(mnist(place.path()), &["(2, 3)", "(2, 2)"]);
    std::fs::remove_file(place.path().join("t10k-images.idx3-ubyte")).expect("removes");
    refused(mnist(place.path()), &["holds no MNIST", "t10k-images-idx3-ubyte", "--data DIR"]);
}

#[test]
fn omniglot_in_idx_layout_is_split_as_its_file_says() {
    let images: Vec<u8> = (0..5).flat_map(|image| [image; 784]).collect();
    let place = folder(&[
        ("omniglot28-images-idx3-ubyte.gz", &gzip(&idx(&[5, 28, 28], &images))),
        ("omniglot28-split-idx1-ubyte", &idx(&[5], &[0, 2, 0, 1, 2])),
    ]);
    let data = omniglot(place.path()).expect("reads");
    let first = |images: &Images| images.iter().map(|image| image[0]).collect::<Vec<u8>>();
    assert_eq!(
        [first(&data.train), first(&data.validation), first(&data.test)],
        [vec![0, 2], vec![3], vec![1, 4]]
    );
    for (split, parts) in [
        (idx(&[4], &[0, 1, 2, 0]), ["4 numbers for 5 images", "split"]),
        (idx(&[5], &[0, 1, 2, 3, 0]), ["says 3 of image 3", "0 is train"]),
        (idx(&[5], &[0, 1, 0, 0, 0]), ["no test image", "2 test"]),
    ] {
        std::fs::write(place.path().join("omniglot28-split-idx1-ubyte"), split).expect("writes");
        refused(omniglot(place.path()), &parts);
    }
    std::fs::remove_file(place.path().join("omniglot28-split-idx1-ubyte")).expect("removes");
    refused(omniglot(place.path()), &["no omniglot28-split-idx1-ubyte", "1 validation"]);
    refused(
        omniglot("nowhere".as_ref()),
        &["nowhere holds no Omniglot", "images_background.zip", "--data DIR"],
    );
}

/// A black-and-white PNG, `side`×`side`; ink where `is_ink`. One bit per pixel, white being 1, as the official images are.
fn bitmap(side: usize, is_ink: impl Fn(usize, usize) -> bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, side as u32, side as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut packed = vec![0xff_u8; side * side.div_ceil(8)];
    for row in 0..side {
        for column in (0..side).filter(|&column| is_ink(row, column)) {
            packed[row * side.div_ceil(8) + column / 8] &= !(0x80 >> (column % 8));
        }
    }
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&packed)).expect("in memory");
    bytes
}

fn archive(path: &Path, entries: &[(&str, Vec<u8>)]) {
    let mut writer = zip::ZipWriter::new(std::fs::File::create(path).expect("creates"));
    for (name, bytes) in entries {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).expect("starts");
        writer.write_all(bytes).expect("writes");
    }
    writer.finish().expect("finishes");
}

#[test]
fn omniglots_zip_files_are_read_in_the_order_of_their_names_and_reduced() {
    let place = tempfile::tempdir().expect("a temporary folder");
    let paths = ["images_background.zip", "images_evaluation.zip"].map(|name| place.path().join(name));
    let full = || bitmap(105, |_, _| true);
    let empty = || bitmap(105, |_, _| false);
    let left = || bitmap(105, |_, column| column < 15);
    archive(
        &paths[0],
        &[
            ("images_background/B/character01/0002_01.png", empty()),
            ("__MACOSX/images_background/A/character01/._0001_01.png", vec![1, 2, 3]),
            ("images_background/A/character02/0001_02.png", left()),
            ("images_background/A/character01/0001_01.png", full()),
            ("images_background/readme.txt", b"hello".to_vec()),
        ],
    );
    archive(&paths[1], &[("images_evaluation/Z/character01/1000_01.png", full())]);
    let images = omniglot::read_zips(&paths).expect("reads");
    let sums: Vec<u64> =
        images.iter().map(|image| image.iter().map(|&value| u64::from(value)).sum()).collect();
    // 15 of 105 columns are 4 of 28.
    assert_eq!(sums, [255 * 784, 255 * 4 * 28, 0, 255 * 784]);
    assert_eq!(images.image(1)[..6], [255, 255, 255, 255, 0, 0]);
    refused(omniglot(place.path()), &["4 images together", "32460"]);

    let name = "images_evaluation/Z/character01/1000_01.png";
    archive(&paths[1], &[(name, bitmap(104, |_, _| true))]);
    refused(omniglot(place.path()), &["images_evaluation.zip", name, "104×104, not 105×105"]);
    archive(&paths[1], &[(name, b"no PNG".to_vec())]);
    refused(omniglot(place.path()), &["images_evaluation.zip", name]);
    archive(&paths[1], &[("readme.txt", b"hello".to_vec())]);
    refused(omniglot(place.path()), &["holds no PNG"]);
    std::fs::write(&paths[1], b"PK no zip").expect("writes");
    refused(omniglot(place.path()), &["images_evaluation.zip is not a usable zip file"]);
}

#[test]
fn the_official_split_gives_each_character_five_test_images() {
    let split = omniglot::official_split().expect("it is part of the program");
    assert_eq!(split.len(), 32_460);
    assert!(split.chunks(20).all(|drawers| drawers.iter().filter(|&&part| part == 2).count() == 5));
    let count = |part| split.iter().filter(|&&other| other == part).count();
    assert_eq!([count(0), count(1), count(2)], [23_000, 1345, 8115]);
}

#[test]
fn shrinking_is_the_exact_mean_over_the_area() {
    // Against sixteenths: every old pixel split 4×4, so that a new pixel of 3.75×3.75 is 15×15 of them.
    let bitmap: Vec<u8> = (0..105 * 105).map(|i| u8::from(i * 7919 % 13 < 4)).collect();
    let reduced = shrink(&bitmap, 105, 28);
    for (index, &value) in reduced.iter().enumerate() {
        let (top, left) = (index / 28 * 15, index % 28 * 15);
        let cells = (0..225).map(|cell| ((top + cell / 15) / 4, (left + cell % 15) / 4));
        let ink: u32 = cells.map(|(row, column)| u32::from(bitmap[row * 105 + column])).sum();
        assert_eq!(f64::from(value), (255.0 * f64::from(ink) / 225.0).round(), "{index}");
    }
}
