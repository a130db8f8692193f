//! What an estimator learns: the gradient of its variance by η, log λ and φ.

use super::buffers::{Buffers, Point, repeated};
use super::{Estimate, Model, Place, Tuning, TuningGradient};
use crate::{
    Coupling, Estimator, Real, correction, correction_coupled, gain_gradient, log_temperature_gradient,
    relax_adjoint, relax_coupled_adjoint, squared_norm_upstream,
};

impl Estimator {
    /// The gradient of layer `layer`'s variance objective, the mean of ‖ĝ‖², for the estimate last made: by η and log λ as the
    /// result, by φ through [`Model::fit_control_variate`]. Zero, and nothing else, for estimators that learn nothing.
    ///
    /// An upper layer's temperature is held fixed in a lower layer's objective.
    /// # Errors
    /// If the model fails, or lacks what is needed.
    pub fn variance_gradient<F: Real, M: Model<F>>(
        self,
        model: &mut M,
        layer: usize,
        tuning: &Tuning,
        estimate: &mut Estimate<F>,
    ) -> Result<TuningGradient, M::Error> {
        let Some(coupling) = self.coupling() else { return Ok(TuningGradient::default()) };
        let Estimate { rows, samples, noise, nodes, .. } = estimate;
        let place = Place { layer, below: &samples[..layer], noise_above: &noise[layer + 1..] };
        let shape = model.layers()[layer];
        let node = &mut nodes[layer];
        let mut at = std::mem::take(&mut node.at);
        squared_norm_upstream(&node.gradient, *rows, &mut node.upstream);
        let [at_z, at_z_tilde] = &mut at;
        let mut each = std::mem::take(&mut node.each);
        let whole = node.node(shape.family);
        // Where there are several choices, α of each; c is the same to all of them.
        let alpha = if coupling == Coupling::Coupled { &mut at_z.alpha } else { &mut at_z_tilde.alpha };
        let each_alpha = if shape.choices == 1 { &mut *alpha } else { &mut each[0] };
        each_alpha.resize(*rows * shape.choices, F::ZERO);
        match coupling {
            Coupling::Coupled => {
                relax_coupled_adjoint(&whole, &node.upstream, each_alpha, &mut at_z.beta);
            }
            Coupling::Independent => {
                let (beta, beta_tilde) = (&mut at_z.beta, &mut at_z_tilde.beta);
                relax_adjoint(&whole, &node.upstream, each_alpha, beta, beta_tilde);
            }
        }
        if shape.choices > 1 {
            let sums = each[0].chunks_exact(shape.choices).map(|own| own.iter().copied().sum::<F>());
            alpha.iter_mut().zip(sums).for_each(|(alpha, sum)| *alpha = sum);
        }
        if coupling == Coupling::Independent {
            at_z.alpha.fill(F::ZERO); // c(z) itself is not in ĝ
        }
        node.each = each;
        let points = if coupling == Coupling::Coupled { 1 } else { 2 };
        let outcome = self.descend(model, place, tuning, coupling, node, &mut at, points);
        node.at = at;
        outcome
    }

    #[allow(clippy::too_many_arguments)]
    fn descend<F: Real, M: Model<F>>(
        self,
        model: &mut M,
        place: Place<'_, F>,
        tuning: &Tuning,
        coupling: Coupling,
        node: &mut Buffers<F>,
        at: &mut [Point<F>; 2],
        points: usize,
    ) -> Result<TuningGradient, M::Error> {
        let mut gradient = TuningGradient::default();
        if self.learns_control_variate() {
            for Point { z, alpha, beta, .. } in &at[..points] {
                model.fit_control_variate(place, z, alpha, beta)?;
            }
        }
        if self.relaxes_f() {
            let shape = model.layers()[place.layer];
            let mut taken_off = std::mem::take(&mut node.scratch);
            let mut each = std::mem::take(&mut node.each);
            let whole = node.node(shape.family);
            let h = repeated(&at[points - 1].h, shape.choices, &mut each[0]);
            match coupling {
                Coupling::Coupled => correction_coupled(&whole, h, &at[0].h_slope, &mut taken_off),
                Coupling::Independent => {
                    correction(&whole, h, &at[0].h_slope, &at[1].h_slope, &mut taken_off);
                }
            }
            (node.scratch, node.each) = (taken_off, each);
            gradient.gain = gain_gradient(&node.upstream, &node.scratch);
            let sigma = tuning.relaxation(shape);
            for point in &at[..points] {
                let Point { z, relaxed, f_gradient, h_slope, alpha, beta, .. } = point;
                let (tangent, curved) = (&mut node.scratch, &mut node.scratch_too);
                sigma.multiply_jacobian(relaxed, beta, tangent);
                model.hessian_vector(place, relaxed, tangent, curved)?;
                // The upstream vector is not needed any more.
                sigma.hessian_vector(relaxed, tangent, f_gradient, curved, &mut node.upstream);
                gradient.log_temperature +=
                    tuning.gain * log_temperature_gradient(z, alpha, beta, h_slope, &node.upstream);
            }
        }
        Ok(gradient)
    }
}
