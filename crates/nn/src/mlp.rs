//! A perceptron whose parameters are one candle `Var`, usable in any candle graph.

use crate::ops::{ForwardOp, Pool, TangentOp, ValueAndGradientOp};
use crate::{MlpShape, NnError, Real};
use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Storage, Tensor, Var};
use std::cell::RefCell;
use std::sync::Arc;

/// A multilayer perceptron over one flat parameter vector.
///
/// The tensor methods are candle operations with gradients, for any graph. The innermost loops of an agent call the
/// kernels of [`MlpShape`] on the slice that [`read`](Self::read) lends: the same arithmetic without a graph.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use relax_nn::{Activation, Mlp, MlpShape};
/// let shape = MlpShape::new(2, &[8], 1, Activation::Tanh);
/// let parameters = (0..shape.parameter_count()).map(|i| (i as f64).sin()).collect();
/// let net = Mlp::<f64>::new(shape, parameters)?;
/// let x = Tensor::new(&[[0.5f64, -1.0], [2.0, 0.1]], &Device::Cpu)?;
/// let loss = net.forward(&x)?.sqr()?.sum_all()?;
/// let gradients = loss.backward()?;
/// assert_eq!(gradients.get(net.var()).unwrap().elem_count(), net.shape().parameter_count());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Mlp<F: Real> {
    shape: Arc<MlpShape>,
    parameters: Var,
    pool: Pool<F>,
}

impl<F: Real> Mlp<F> {
    /// A network of this shape with these parameters ([`MlpShape::orthogonal`] makes fresh ones).
    ///
    /// # Errors
    /// If the parameters' number does not fit the shape.
    pub fn new(shape: MlpShape, parameters: Vec<F>) -> Result<Self, NnError> {
        if parameters.len() != shape.parameter_count() {
            return Err(NnError::ParameterCount {
                expected: shape.parameter_count(),
                found: parameters.len(),
            });
        }
        let len = parameters.len();
        let parameters = Var::from_vec(parameters, len, &Device::Cpu)?;
        Ok(Self { shape: Arc::new(shape), parameters, pool: Pool::default() })
    }

    /// Widths, activation and layout.
    #[must_use]
    pub fn shape(&self) -> &MlpShape {
        &self.shape
    }

    /// The flat parameter vector as a candle variable, `[parameter_count]`.
    #[must_use]
    pub fn var(&self) -> &Var {
        &self.parameters
    }

    /// Calls `f` with the parameters as a slice.
    pub fn read<R>(&self, f: impl FnOnce(&[F]) -> R) -> R {
        let (storage, _) = self.parameters.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => f(F::slice(storage).unwrap_or(&[])),
            _ => unreachable!("an Mlp's parameters are made on the CPU"),
        }
    }

    /// Calls `f` with the parameters as a slice to write to: the optimiser's step, a checkpoint's load. Graphs built
    /// before see the new values.
    pub fn write<R>(&mut self, f: impl FnOnce(&mut [F]) -> R) -> R {
        let write =
            Write { f: RefCell::new(Some(f)), result: RefCell::new(None), scalar: std::marker::PhantomData };
        let outcome = self.parameters.inplace_op1(&write);
        match (outcome, write.result.into_inner()) {
            (Ok(()), Some(result)) => result,
            (outcome, _) => unreachable!("an Mlp's parameters are one contiguous CPU array: {outcome:?}"),
        }
    }

    /// The network's value `[B, out]` at `input` `[B, in]`, differentiable in parameters and input.
    ///
    /// # Errors
    /// If the input's shape or type does not fit.
    pub fn forward(&self, input: &Tensor) -> Result<Tensor, NnError> {
        let input = self.checked(input)?;
        let op = ForwardOp::new(self.shape.clone(), self.pool.clone());
        Ok(self.parameters.apply_op2(&input, op)?)
    }

    /// `[B, 1 + in]`: the value c of a network with one output, then ∇ₓc. Differentiable once more, in parameters and
    /// input: the backward pass is [`MlpShape::parameter_gradient`], so that the mixed derivatives which training a
    /// control variate needs take no second-order graph.
    ///
    /// # Errors
    /// If the network has more than one output, or the input's shape or type does not fit.
    pub fn value_and_gradient(&self, input: &Tensor) -> Result<Tensor, NnError> {
        if self.shape.output() != 1 {
            return Err(NnError::NotScalar { outputs: self.shape.output() });
        }
        let input = self.checked(input)?;
        let op = ValueAndGradientOp::new(self.shape.clone(), self.pool.clone());
        Ok(self.parameters.apply_op2(&input, op)?)
    }

    /// The derivative `[B, out]` of the network at `input` `[B, in]` along `direction` `[B, in]`; a constant in the
    /// graph.
    ///
    /// # Errors
    /// If a shape or type does not fit.
    pub fn tangent(&self, input: &Tensor, direction: &Tensor) -> Result<Tensor, NnError> {
        let (input, direction) = (self.checked(input)?, self.checked(direction)?);
        let op = TangentOp { shape: self.shape.clone(), pool: self.pool.clone() };
        Ok(self.parameters.apply_op3_no_bwd(&input, &direction, &op)?)
    }

    /// The gradient `[parameter_count]` of Σ_r α_r c(x_r) + β_r·∇c(x_r): a constant in the graph.
    ///
    /// # Errors
    /// If a shape or type does not fit, or the network has more than one output.
    pub fn parameter_gradient(
        &self,
        input: &Tensor,
        alpha: &Tensor,
        beta: &Tensor,
    ) -> Result<Tensor, NnError> {
        let alpha = alpha.reshape((alpha.elem_count(), 1))?;
        let upstream = Tensor::cat(&[&alpha, &self.checked(beta)?], 1)?;
        let output = self.value_and_gradient(input)?;
        let gradients = (output * upstream.detach())?.sum_all()?.backward()?;
        match gradients.get(&self.parameters) {
            Some(gradient) => Ok(gradient.clone()),
            None => Ok(self.parameters.zeros_like()?),
        }
    }

    fn checked(&self, input: &Tensor) -> Result<Tensor, NnError> {
        let width = self.shape.input();
        match input.dims() {
            [_, found] if *found == width && input.dtype() == F::DTYPE => Ok(input.contiguous()?),
            _ => Err(NnError::Input {
                width,
                dtype: F::DTYPE,
                shape: input.dims().to_vec(),
                found: input.dtype(),
            }),
        }
    }
}

/// Lends a candle variable's storage to a closure.
struct Write<F, C, R> {
    f: RefCell<Option<C>>,
    result: RefCell<Option<R>>,
    scalar: std::marker::PhantomData<F>,
}

impl<F: Real, R, C: FnOnce(&mut [F]) -> R> InplaceOp1 for Write<F, C, R> {
    fn name(&self) -> &'static str {
        "write-parameters"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> candle_core::Result<()> {
        if let (Some(values), Some(f)) = (F::slice_mut(storage), self.f.take()) {
            self.result.replace(Some(f(values)));
        }
        Ok(())
    }
}
