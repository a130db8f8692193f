//! Encoders as steps.

use relax_agents::EncoderCard;
use relax_nn::{Cnn, Encoder, Picture};
use relax_runtime::Error;

use crate::plan::Step;

/// Appends the steps of the encoder to `steps`.
///
/// # Errors
/// If it is a registered one: a module of candle-nn is code, of which no file can tell.
pub(crate) fn describe(card: &EncoderCard, steps: &mut Vec<Step>) -> Result<(), Error> {
    let made = match card.name.as_str() {
        "small-cnn" => Cnn::small(&card.observation),
        "nature-cnn" => Cnn::nature(&card.observation),
        name => {
            return Err(Error::input(format!(
                "the policy's encoder \"{name}\" is a module of the program that registered it; exported files can hold \"small-cnn\" and \
                 \"nature-cnn\""
            ))
            .with_hint(
                "the program that registered it can write the weights for candle, PyTorch or what else has such a module: \
                 examples/custom_encoder.rs",
            ));
        }
    };
    let refuse = |why: &dyn std::fmt::Display| Error::input(format!("the policy's encoder: {why}"));
    let cnn = made.map_err(|error| refuse(&error))?;
    let picture = Picture::of(&card.observation).ok_or_else(|| refuse(&"it observes no pictures"))?;
    let of_frame = [picture.height, picture.width, picture.channels / picture.frames()];
    let [height, width, channels] = of_frame;
    let (dimensions, order) = if picture.is_channels_first() {
        (vec![picture.frames(), channels, height, width], vec![2, 3, 0, 1])
    } else {
        (vec![picture.frames(), height, width, channels], vec![1, 2, 0, 3])
    };
    steps.push(Step::Picture {
        dimensions,
        order,
        shape: vec![height, width, picture.channels],
        factor: card.observation.scale,
    });
    let named = |layer: &str, part: &str| format!("encoder.{layer}.{part}");
    for (i, stride) in cnn.strides().into_iter().enumerate() {
        let layer = format!("convolution{i}");
        steps.push(Step::Convolution {
            weight: named(&layer, "weight"),
            bias: named(&layer, "bias"),
            stride,
        });
        steps.push(Step::Relu);
    }
    steps.push(Step::Flatten);
    steps.push(Step::Affine { weight: named("linear", "weight"), bias: named("linear", "bias") });
    steps.push(Step::Relu);
    debug_assert_eq!(cnn.name(), card.name);
    Ok(())
}
