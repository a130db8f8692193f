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
        mnist(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/mnist").as_ref()).expect("the bundled files");
    assert_eq!((data.rows, data.columns), (28, 28));
    assert_eq!([data.train.len(), data.validation.len(), data.test.len()], [50_000, 10_000, 10_000]);
    // The mean intensity of the 60 000 training images, 0.1307, is known to everybody who has normalised them.
    let sum: u64 =
        data.train.iter().chain(data.validation.iter()).flatten().map(|&value| u64::from(value)).sum();
    let mean = sum as f64 / (255.0 * 784.0 * 60_000.0);
    assert!((mean - 0.1306604762738429).abs() < 1e-12, "{mean}");
}
