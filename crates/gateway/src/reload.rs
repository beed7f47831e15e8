//! Files that change while the gateway runs: the configuration, secrets, certificates.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::config::{Config, ConfigError};
use crate::gateway::{Control, Live};
use crate::tls::{Material, Tls};

/// How often files are looked at. Kubernetes swaps them by symbolic links, which notifications of the system miss.
const EVERY: Duration = Duration::from_secs(1);

/// Looks for changed files for ever.
pub(crate) async fn watch(control: &Control) {
    let mut config = control.config.clone();
    let mut seen = control.stamps.clone();
    loop {
        tokio::time::sleep(EVERY).await;
        let now = stamps(&config);
        if now == seen {
            continue;
        }
        match renewed(&config, control.tls.as_ref()) {
            Ok((renewed, live, material)) => {
                if let (Some(tls), Some(material)) = (&control.tls, material) {
                    tls.swap(material);
                }
                control.shared.reload(Ok(live));
                for key in fixed(&config, &renewed) {
                    tracing::warn!(key, "this change takes a restart");
                }
                seen = stamps_when_read(&renewed);
                config = renewed;
            }
            Err(error) => {
                control.shared.reload(Err(error.to_string()));
                seen = now;
            }
        }
    }
}

/// Everything that the files say now, checked as a whole.
fn renewed(config: &Config, tls: Option<&Arc<Tls>>) -> Result<(Config, Live, Option<Material>), ConfigError> {
    let renewed = config.again()?;
    let live = Live::build(&renewed).map_err(|invalid| renewed.error(invalid))?;
    let material = match (tls, &renewed.callbacks.tls) {
        (Some(_), Some(files)) => Some(Material::read(files).map_err(|invalid| renewed.error(invalid))?),
        _ => None,
    };
    Ok((renewed, live, material))
}

/// The changed keys that a running gateway cannot follow.
fn fixed(old: &Config, new: &Config) -> impl Iterator<Item = &'static str> {
    let client_ca = |config: &Config| config.callbacks.tls.as_ref().map(|tls| tls.client_ca.is_some());
    [
        ("callbacks.listen", old.callbacks.listen != new.callbacks.listen),
        ("callbacks.workers", old.callbacks.workers != new.callbacks.workers),
        ("callbacks.before_lane", old.callbacks.before_lane != new.callbacks.before_lane),
        ("callbacks.after_lane", old.callbacks.after_lane != new.callbacks.after_lane),
        ("callbacks.tls", client_ca(old) != client_ca(new)),
        ("admin.listen", old.admin.listen != new.admin.listen),
        ("log", old.log.level != new.log.level || old.log.format != new.log.format),
        ("shutdown", (old.shutdown.delay, old.shutdown.grace) != (new.shutdown.delay, new.shutdown.grace)),
    ]
    .into_iter()
    .filter_map(|(key, changed)| changed.then_some(key))
}

/// What shows that a file was changed or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    file: PathBuf,
    state: Option<(SystemTime, u64, u64)>,
}

impl Stamp {
    /// The stamp of `file` as it is now.
    pub(crate) fn of(file: &Path) -> Self {
        let state = fs::metadata(file).and_then(|it| Ok((it.modified()?, it.len(), it.ino()))).ok();
        Self { file: file.to_owned(), state }
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }
}

/// The stamps of all files of `config` as they are now.
fn stamps(config: &Config) -> Vec<Stamp> {
    config.files().into_iter().map(Stamp::of).collect()
}

/// The stamps before anything was read: what changes later is noticed, even before the watch begins.
pub(crate) fn stamps_when_read(config: &Config) -> Vec<Stamp> {
    let mut stamps = stamps(config);
    for stamp in &mut stamps {
        if let Some(origin) = config.origin.as_ref().filter(|origin| origin.file == stamp.file) {
            stamp.clone_from(origin);
        }
    }
    stamps
}
