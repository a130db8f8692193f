//! Any module of candle-nn as an encoder: its variables lie in the flat vector, candle's autograd does its reverse pass.

use super::{Encoder, EncoderWorkspace, ObservationShape, Observations};
use crate::{NamedSlice, NnError};
use candle_core::{DType, Device, Module, Shape, Tensor, Var, bail};
use candle_nn::init::NormalOrUniform;
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Fewest rows that a module is given: candle 0.11.1's products of one row and of two add in another order than those of more
/// (measured), and actors share out the rows that one of them would have acted on.
const FEWEST: usize = 4;

type Build = dyn Fn(&[usize], VarBuilder<'static>) -> candle_core::Result<Box<dyn Module>> + Send + Sync;

/// A module of candle-nn between observations `[B, …]` and features `[B, F]`.
///
/// `build(shape, variables)` is called with the shape of one observation; the module it makes takes observations with that
/// shape after the batch, scaled as [`ObservationShape`] says. It is built anew around every batch's weights, and must always ask
/// for the same variables: it is a function of its weights and its input, and keeps nothing. Fresh weights follow the hints it
/// gives with its variables, drawn from the caller's stream, not from candle's generator, which has no seed.
///
/// ```
/// use candle_core::Module;
/// use relax_nn::{Encoder, ModuleEncoder, ObservationShape};
/// let seen = ObservationShape { shape: vec![2, 3], scale: 1.0 };
/// let encoder = ModuleEncoder::new("mine", &seen, |shape, variables| {
///     let linear = candle_nn::linear(shape.iter().product(), 5, variables.pp("linear"))?;
///     Ok(Box::new(candle_nn::func(move |x| linear.forward(&x.flatten_from(1)?)?.relu())))
/// })?;
/// assert_eq!((encoder.features(), encoder.parameter_count()), (5, 35));
/// assert_eq!(encoder.layout()[1].name, "linear.weight");
/// # Ok::<(), relax_nn::NnError>(())
/// ```
pub struct ModuleEncoder {
    name: String,
    observation: ObservationShape,
    features: usize,
    layout: Vec<NamedSlice>,
    hints: Vec<Init>,
    build: Arc<Build>,
    device: Device,
}

/// What a forward pass leaves for the reverse pass.
#[derive(Default)]
struct Pass {
    /// The weights that `variables` hold.
    parameters: Vec<f32>,
    variables: Arc<BTreeMap<String, Var>>,
    features: Option<Tensor>,
}

impl ModuleEncoder {
    /// The encoder `name` around the modules that `build` makes.
    ///
    /// # Errors
    /// If no module can be built, or it does not give two-dimensional f32 features for a batch of two observations of zeros.
    pub fn new(
        name: impl Into<String>,
        observation: &ObservationShape,
        build: impl Fn(&[usize], VarBuilder<'static>) -> candle_core::Result<Box<dyn Module>>
        + Send
        + Sync
        + 'static,
    ) -> Result<Self, NnError> {
        Self::shared(name, observation, Arc::new(build))
    }

    /// As [`new`](Self::new), of a function that others have too.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[allow(clippy::type_complexity)]
    pub fn shared(
        name: impl Into<String>,
        observation: &ObservationShape,
        build: Arc<
            dyn Fn(&[usize], VarBuilder<'static>) -> candle_core::Result<Box<dyn Module>> + Send + Sync,
        >,
    ) -> Result<Self, NnError> {
        Self::on(name, observation, &Device::Cpu, build)
    }

    /// As [`shared`](Self::shared), computing on `device`. Weights, observations and features travel there and back with every batch.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[allow(clippy::type_complexity)]
    pub fn on(
        name: impl Into<String>,
        observation: &ObservationShape,
        device: &Device,
        build: Arc<
            dyn Fn(&[usize], VarBuilder<'static>) -> candle_core::Result<Box<dyn Module>> + Send + Sync,
        >,
    ) -> Result<Self, NnError> {
        let name = name.into();
        let refuse = |why: String| NnError::Encoder { encoder: name.clone(), why };
        let asked = Asked::default();
        let variables = VarBuilder::from_backend(Box::new(asked.clone()), DType::F32, device.clone());
        let module = build(&observation.shape, variables)
            .map_err(|error| refuse(format!("it cannot be built: {error}")))?;
        let batch = [&[2], observation.shape.as_slice()].concat();
        let given = Tensor::zeros(batch.as_slice(), DType::F32, device)
            .and_then(|x| module.forward(&x))
            .map_err(|error| refuse(format!("it cannot take observations {batch:?}: {error}")))?;
        let features = match *given.dims() {
            [2, features] if features > 0 && given.dtype() == DType::F32 => features,
            _ => {
                let found = (given.dtype(), given.dims());
                return Err(refuse(format!(
                    "of observations {batch:?} it must make f32 features [2, F], and it makes {found:?}"
                )));
            }
        };
        let (mut layout, mut hints, mut end) = (Vec::new(), Vec::new(), 0);
        for (name, (shape, hint)) in asked.lock().iter() {
            let (start, shape) = (end, shape.dims().to_vec());
            end += shape.iter().product::<usize>();
            layout.push(NamedSlice { name: name.clone(), range: start..end, shape });
            hints.push(*hint);
        }
        Ok(Self {
            name,
            observation: observation.clone(),
            features,
            layout,
            hints,
            build,
            device: device.clone(),
        })
    }

    /// Variables that hold `parameters`.
    fn variables(&self, parameters: &[f32]) -> candle_core::Result<BTreeMap<String, Var>> {
        let variable = |slice: &NamedSlice| {
            let data = &parameters[slice.range.clone()];
            let tensor = Tensor::from_slice(data, slice.shape.as_slice(), &self.device)?;
            Ok((slice.name.clone(), Var::from_tensor(&tensor)?))
        };
        self.layout.iter().map(variable).collect()
    }

    fn evaluate(
        &self,
        parameters: &[f32],
        observations: Observations<'_>,
        pass: &mut Pass,
    ) -> candle_core::Result<Tensor> {
        if pass.variables.len() != self.layout.len() || pass.parameters != parameters {
            pass.variables = Arc::new(self.variables(parameters)?);
            pass.parameters.clear();
            pass.parameters.extend_from_slice(parameters);
        }
        let held = Held(pass.variables.clone());
        let module = (self.build)(
            &self.observation.shape,
            VarBuilder::from_backend(Box::new(held), DType::F32, self.device.clone()),
        )?;
        let rows = observations.count(self.observation.numbers());
        let padded = rows.max(FEWEST);
        let batch = [&[padded], self.observation.shape.as_slice()].concat();
        let mut scaled = Vec::new();
        observations.write(&mut scaled);
        scaled.iter_mut().for_each(|x| *x *= self.observation.scale);
        scaled.resize(padded * self.observation.numbers(), 0.0);
        let features = module.forward(&Tensor::from_vec(scaled, batch, &self.device)?)?;
        if features.dims() != [padded, self.features] {
            bail!("features {:?} of {padded} rows, where there must be {}", features.dims(), self.features);
        }
        features.narrow(0, 0, rows)?.contiguous()
    }

    fn failed(&self, error: candle_core::Error) -> NnError {
        NnError::Encoder { encoder: self.name.clone(), why: error.to_string() }
    }
}

impl Encoder for ModuleEncoder {
    fn name(&self) -> &str {
        &self.name
    }

    fn observation(&self) -> &ObservationShape {
        &self.observation
    }

    fn features(&self) -> usize {
        self.features
    }

    fn layout(&self) -> Vec<NamedSlice> {
        self.layout.clone()
    }

    fn initialise(&self, parameters: &mut [f32], rng: &mut dyn Rng) {
        for (slice, hint) in self.layout.iter().zip(&self.hints) {
            let shape = Shape::from(slice.shape.as_slice());
            draw(hint, &shape, &mut parameters[slice.range.clone()], rng);
        }
    }

    fn forward(
        &self,
        parameters: &[f32],
        observations: Observations<'_>,
        workspace: &mut EncoderWorkspace,
        features: &mut [f32],
    ) -> Result<(), NnError> {
        if observations.count(self.observation.numbers()) == 0 {
            return Ok(());
        }
        let pass = workspace.made::<Pass>();
        let mut compute = || {
            let tensor = self.evaluate(parameters, observations, pass)?;
            features.copy_from_slice(&tensor.flatten_all()?.to_vec1::<f32>()?);
            pass.features = Some(tensor);
            Ok(())
        };
        compute().map_err(|error| self.failed(error))
    }

    fn reverse(
        &self,
        _: &[f32],
        _: Observations<'_>,
        workspace: &mut EncoderWorkspace,
        d_features: &[f32],
        d_parameters: &mut [f32],
    ) -> Result<(), NnError> {
        let pass = workspace.made::<Pass>();
        let mut compute = || {
            let Some(features) = &pass.features else { bail!("a reverse pass without a forward pass") };
            let upstream = Tensor::from_slice(d_features, features.dims(), &self.device)?;
            let gradients = (features * upstream)?.sum_all()?.backward()?;
            for slice in &self.layout {
                let Some(gradient) = pass.variables.get(&slice.name).and_then(|var| gradients.get(var))
                else {
                    continue;
                };
                let gradient = gradient.flatten_all()?.to_vec1::<f32>()?;
                d_parameters[slice.range.clone()].iter_mut().zip(gradient).for_each(|(d, g)| *d += g);
            }
            Ok(())
        };
        compute().map_err(|error| self.failed(error))
    }
}

impl fmt::Debug for ModuleEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModuleEncoder").field("name", &self.name).field("layout", &self.layout).finish()
    }
}

/// Fills `weights` of this shape as the hint says.
fn draw(hint: &Init, shape: &Shape, weights: &mut [f32], rng: &mut dyn Rng) {
    let mut normal = |mean: f64, deviation: f64| {
        for w in weights.iter_mut() {
            let x: f64 = StandardNormal.sample(rng);
            *w = (mean + deviation * x) as f32;
        }
    };
    let (low, high) = match *hint {
        Init::Const(value) => return weights.fill(value as f32),
        Init::Randn { mean, stdev } => return normal(mean, stdev),
        Init::Uniform { lo, up } => (lo, up),
        Init::Kaiming { dist, fan, non_linearity } => {
            let deviation = non_linearity.gain() / (fan.for_shape(shape) as f64).sqrt();
            match dist {
                NormalOrUniform::Normal => return normal(0.0, deviation),
                NormalOrUniform::Uniform => (-(3f64.sqrt()) * deviation, 3f64.sqrt() * deviation),
            }
        }
    };
    weights.iter_mut().for_each(|w| *w = (low + (high - low) * rng.random::<f64>()) as f32);
}

/// Notes which variables a module asks for, and gives it zeros.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<BTreeMap<String, (Shape, Init)>>>);

impl Asked {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (Shape, Init)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimpleBackend for Asked {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        hint: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        if dtype != DType::F32 {
            bail!("the variable `{name}` is {dtype:?}; weights are f32 here");
        }
        let mut asked = self.lock();
        let (known, _) = asked.entry(name.to_owned()).or_insert_with(|| (shape.clone(), hint));
        if *known != shape {
            bail!("the variable `{name}` is asked for as {known:?} and as {shape:?}");
        }
        Tensor::zeros(shape, dtype, device)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let shape = self.lock().get(name).map(|(shape, _)| shape.clone());
        match shape {
            Some(shape) => Tensor::zeros(shape, dtype, device),
            None => bail!("the variable `{name}` is asked for without a shape"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.lock().contains_key(name)
    }
}

/// Gives a module its variables.
struct Held(Arc<BTreeMap<String, Var>>);

impl SimpleBackend for Held {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if *tensor.shape() != shape {
            bail!(
                "the variable `{name}` was {:?} at first, and is asked for as {shape:?} now",
                tensor.shape()
            );
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        match self.0.get(name) {
            Some(variable) => Ok(variable.as_tensor().clone()),
            None => bail!("the variable `{name}` was not asked for at first"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}
