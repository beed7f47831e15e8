//! Files that change while the gateway runs: the configuration, secrets, certificates.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::config::{Config, ConfigError};
use crate::gateway::{Control, Live};
use crate::metrics::Reload;
use crate::tls::{Material, Tls};

/// How often files are looked at. Kubernetes swaps them by symbolic links, which notifications of the system miss.
const EVERY: Duration = Duration::from_secs(1);

/// Looks for changed files for ever.
pub(crate) async fn watch(control: &Control) {
    let mut config = control.config.clone();
    let mut seen = stamps(&config);
    loop {
        tokio::time::sleep(EVERY).await;
        let now = stamps(&config);
        if now == seen {
            continue;
        }
        match renewed(&config, control.tls.as_ref()) {
            Ok((renewed, live, material)) => {
                control.shared.swap(live);
                if let (Some(tls), Some(material)) = (&control.tls, material) {
                    tls.swap(material);
                }
                control.shared.metrics().reloaded(Reload::Applied);
                tracing::info!("configuration reloaded");
                for key in fixed(&config, &renewed) {
                    tracing::warn!(key, "this change takes a restart");
                }
                config = renewed;
                seen = stamps(&config);
            }
            Err(error) => {
                control.shared.metrics().reloaded(Reload::Refused);
                tracing::error!("changed configuration refused, the old one stays: {error}");
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
type Stamp = (PathBuf, Option<(SystemTime, u64, u64)>);

fn stamps(config: &Config) -> Vec<Stamp> {
    let stamp = |path: PathBuf| {
        let metadata = fs::metadata(&path).ok();
        let stamp = metadata.and_then(|it| Some((it.modified().ok()?, it.len(), std::os::unix::fs::MetadataExt::ino(&it))));
        (path, stamp)
    };
    config.files().into_iter().map(stamp).collect()
}
