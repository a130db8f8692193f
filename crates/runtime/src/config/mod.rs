//! Configurations as TOML: one serde struct for each kind, read from a file, changed by overrides, checked, written back.
//! What a kind of configuration holds is its own affair ([`Document`]).

mod document;
mod error;
mod load;
mod overrides;
mod ranges;
mod schema;

pub use document::{Document, Reading, Shape};
pub use error::{ConfigError, Origin};
pub use load::{from_toml, load, misread, read, read_text, to_toml};
pub use overrides::{Override, check_resume};
pub use ranges::{finite, refuse, within};
pub use schema::{Keys, first_paragraph, schema_of};
