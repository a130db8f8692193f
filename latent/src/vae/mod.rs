//! Binary latent-variable models.
