//! The kernels as candle custom operations.

use crate::kernels::Workspace;
use crate::{MlpShape, Real};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Device, Layout, Result, Shape, Storage, Tensor, bail};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Workspaces that travel between a network and its operations, so that they are allocated once.
#[derive(Debug, Clone)]
pub(crate) struct Pool<F>(Arc<Mutex<Vec<Workspace<F>>>>);

impl<F> Default for Pool<F> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<F: Real> Pool<F> {
    fn lock(&self) -> MutexGuard<'_, Vec<Workspace<F>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn take(&self) -> Workspace<F> {
        self.lock().pop().unwrap_or_default()
    }

    fn give(&self, workspace: Workspace<F>) {
        self.lock().push(workspace);
    }
}

/// What a forward pass leaves for its backward pass.
struct Saved<F: Real> {
    pool: Pool<F>,
    workspace: Mutex<Option<Workspace<F>>>,
}

impl<F: Real> Saved<F> {
    fn new(pool: Pool<F>) -> Self {
        Self { pool, workspace: Mutex::new(None) }
    }

    fn take(&self) -> Option<Workspace<F>> {
        self.workspace.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, workspace: Workspace<F>) {
        let old = self.workspace.lock().unwrap_or_else(PoisonError::into_inner).replace(workspace);
        if let Some(old) = old {
            self.pool.give(old);
        }
    }
}

impl<F: Real> Drop for Saved<F> {
    fn drop(&mut self) {
        if let Some(workspace) = self.take() {
            self.pool.give(workspace);
        }
    }
}

pub(crate) fn values<'a, F: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [F]> {
    match (F::slice(storage), layout.contiguous_offsets()) {
        (Some(values), Some((start, end))) => Ok(&values[start..end]),
        (None, _) => bail!("expected a {:?} array", F::DTYPE),
        (_, None) => bail!("expected a contiguous array, found strides {:?}", layout.stride()),
    }
}

/// The values of a tensor on the CPU.
pub(crate) fn with_values<F: Real, R>(tensor: &Tensor, f: impl FnOnce(&[F]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => f(values(storage, layout)?),
        _ => bail!("expected a tensor on the CPU"),
    }
}

type Gradients = (Option<Tensor>, Option<Tensor>);

fn gradients<F: Real>(d_parameters: Vec<F>, d_input: Vec<F>, input: &Tensor) -> Result<Gradients> {
    let len = d_parameters.len();
    Ok((
        Some(Tensor::from_vec(d_parameters, len, &Device::Cpu)?),
        Some(Tensor::from_vec(d_input, input.shape(), &Device::Cpu)?),
    ))
}

/// (parameters, input) → the network's value `[B, out]`.
pub(crate) struct ForwardOp<F: Real> {
    shape: Arc<MlpShape>,
    saved: Saved<F>,
}

impl<F: Real> ForwardOp<F> {
    pub fn new(shape: Arc<MlpShape>, pool: Pool<F>) -> Self {
        Self { shape, saved: Saved::new(pool) }
    }
}

impl<F: Real> CustomOp2 for ForwardOp<F> {
    fn name(&self) -> &'static str {
        "mlp-forward"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (parameters, input) = (values::<F>(s1, l1)?, values::<F>(s2, l2)?);
        let rows = input.len() / self.shape.input();
        let mut output = vec![F::ZERO; rows * self.shape.output()];
        let mut workspace = self.saved.pool.take();
        self.shape.forward(parameters, input, &mut workspace, &mut output);
        self.saved.put(workspace);
        Ok((F::storage(output), (rows, self.shape.output()).into()))
    }

    fn bwd(
        &self,
        parameters: &Tensor,
        input: &Tensor,
        output: &Tensor,
        d_output: &Tensor,
    ) -> Result<Gradients> {
        with_values::<F, _>(parameters, |p| {
            with_values::<F, _>(input, |x| {
                with_values::<F, _>(d_output, |d| {
                    let workspace = match self.saved.take() {
                        Some(workspace) => workspace,
                        None => {
                            let mut workspace = self.saved.pool.take();
                            let mut again = vec![F::ZERO; output.elem_count()];
                            self.shape.forward(p, x, &mut workspace, &mut again);
                            workspace
                        }
                    };
                    let mut d_parameters = vec![F::ZERO; p.len()];
                    let mut d_input = vec![F::ZERO; x.len()];
                    self.shape.reverse(p, x, &workspace, d, &mut d_parameters, Some(&mut d_input));
                    self.saved.put(workspace);
                    gradients(d_parameters, d_input, input)
                })
            })
        })
    }
}

/// (parameters, input) → `[B, 1 + in]`: c and ∇c of a network with one output.
pub(crate) struct ValueAndGradientOp<F: Real> {
    shape: Arc<MlpShape>,
    saved: Saved<F>,
}

impl<F: Real> ValueAndGradientOp<F> {
    pub fn new(shape: Arc<MlpShape>, pool: Pool<F>) -> Self {
        Self { shape, saved: Saved::new(pool) }
    }
}

/// Splits rows `[1 + n]` into a first column and the rest.
fn split_columns<F: Real>(rows: &[F], n: usize) -> (Vec<F>, Vec<F>) {
    let first = rows.chunks_exact(n + 1).map(|row| row[0]).collect();
    let rest = rows.chunks_exact(n + 1).flat_map(|row| &row[1..]).copied().collect();
    (first, rest)
}

impl<F: Real> CustomOp2 for ValueAndGradientOp<F> {
    fn name(&self) -> &'static str {
        "mlp-value-and-gradient"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (parameters, input) = (values::<F>(s1, l1)?, values::<F>(s2, l2)?);
        let n = self.shape.input();
        let rows = input.len() / n;
        let (mut value, mut gradient) = (vec![F::ZERO; rows], vec![F::ZERO; input.len()]);
        let mut workspace = self.saved.pool.take();
        self.shape.value_and_gradient(parameters, input, &mut workspace, &mut value, &mut gradient);
        self.saved.put(workspace);
        let joined = value
            .iter()
            .zip(gradient.chunks_exact(n))
            .flat_map(|(v, g)| std::iter::once(v).chain(g))
            .copied();
        Ok((F::storage(joined.collect()), (rows, n + 1).into()))
    }

    fn bwd(&self, parameters: &Tensor, input: &Tensor, _: &Tensor, d_output: &Tensor) -> Result<Gradients> {
        with_values::<F, _>(parameters, |p| {
            with_values::<F, _>(input, |x| {
                with_values::<F, _>(d_output, |d| {
                    let n = self.shape.input();
                    let (alpha, beta) = split_columns(d, n);
                    let workspace = match self.saved.take() {
                        Some(workspace) => workspace,
                        None => {
                            let mut workspace = self.saved.pool.take();
                            let (mut value, mut gradient) =
                                (vec![F::ZERO; alpha.len()], vec![F::ZERO; x.len()]);
                            self.shape.value_and_gradient(p, x, &mut workspace, &mut value, &mut gradient);
                            workspace
                        }
                    };
                    let mut d_parameters = vec![F::ZERO; p.len()];
                    let mut d_input = vec![F::ZERO; x.len()];
                    let d_input_slice = Some(d_input.as_mut_slice());
                    self.shape.parameter_gradient(
                        p,
                        x,
                        &workspace,
                        &alpha,
                        &beta,
                        &mut d_parameters,
                        d_input_slice,
                    );
                    self.saved.put(workspace);
                    gradients(d_parameters, d_input, input)
                })
            })
        })
    }
}

/// (parameters, input, direction) → the derivative of the network along `direction`.
pub(crate) struct TangentOp<F: Real> {
    pub shape: Arc<MlpShape>,
    pub pool: Pool<F>,
}

impl<F: Real> CustomOp3 for TangentOp<F> {
    fn name(&self) -> &'static str {
        "mlp-tangent"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (parameters, input, direction) =
            (values::<F>(s1, l1)?, values::<F>(s2, l2)?, values::<F>(s3, l3)?);
        if input.len() != direction.len() {
            bail!("input has {} values, direction {}", input.len(), direction.len());
        }
        let rows = input.len() / self.shape.input();
        let mut output = vec![F::ZERO; rows * self.shape.output()];
        let mut workspace = self.pool.take();
        self.shape.forward(parameters, input, &mut workspace, &mut output);
        self.shape.tangent(parameters, direction, &workspace, &mut output);
        self.pool.give(workspace);
        Ok((F::storage(output), (rows, self.shape.output()).into()))
    }
}
