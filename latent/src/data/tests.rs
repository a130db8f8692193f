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
