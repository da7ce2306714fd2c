//! The manual: how the library is built, what it defends against, how that is shown, how to extend it.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("threat_model.md")]
pub mod threat_model {}

#[doc = include_str!("proof.md")]
pub mod proof {}

#[doc = include_str!("adding_a_format.md")]
pub mod adding_a_format {}

#[doc = include_str!("adding_a_quant.md")]
pub mod adding_a_quant {}

#[doc = include_str!("changelog.md")]
pub mod changelog {}
