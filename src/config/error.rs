//! What is wrong with a configuration, and where it says so.

use std::path::PathBuf;

/// One thing that is wrong. `Display` is a whole sentence for the operator.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {}: {reason}", path.display())]
    Unreadable { path: PathBuf, reason: String },
    #[error("the configuration file {} is not valid TOML (line {line}): {reason}", path.display())]
    Syntax { path: PathBuf, line: usize, reason: String },
    #[error("{}", describe(key, value.as_deref(), source_name, reason))]
    Value {
        /// As in the file, with dots: `http.listen`.
        key: String,
        /// Absent where there is none, and for secrets.
        value: Option<String>,
        /// The file, environment variable or flag that set the value.
        source_name: String,
        reason: String,
    },
}

/// Everything that is wrong, at least one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl std::fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the configuration is not usable")?;
        for error in &self.0 {
            write!(f, "\n  {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

fn describe(key: &str, value: Option<&str>, source_name: &str, reason: &str) -> String {
    match value {
        Some(value) => format!("{key} = {value} ({source_name}): {reason}"),
        None => format!("{key} ({source_name}): {reason}"),
    }
}
