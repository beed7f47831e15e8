use std::path::Path;

use super::Failed;
use crate::{Config, Gateway, StartError};

pub(super) async fn run(file: &Path) -> Result<(), Failed> {
    let config = Config::load(file).map_err(|error| Failed::Usage(error.to_string()))?;
    let _log = config.log.start().map_err(Failed::Usage)?;
    let gateway = Gateway::builder(config).build().await.map_err(|error| match error {
        StartError::Config(_) => Failed::Usage(error.to_string()),
        error => Failed::Outcome(error.to_string()),
    })?;
    gateway.run().await.map_err(|error| Failed::Outcome(error.to_string()))
}
