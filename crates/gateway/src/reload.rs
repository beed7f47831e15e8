//! Files that change while the gateway runs: the configuration, secrets, certificates.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::config::{Config, Invalid};
use crate::deliver::Prepared;
use crate::gateway::{Control, Live};
use crate::tls::Material;

/// How often files are looked at. Kubernetes swaps them by symbolic links, which notifications of the system miss.
const EVERY: Duration = Duration::from_secs(1);

/// Looks for changed files for ever.
pub(crate) async fn watch(control: &Control) {
    let mut in_use = control.config.clone();
    let mut seen = control.stamps.clone();
    loop {
        tokio::time::sleep(EVERY).await;
        control.shared.tidy().await;
        let now = stamps(seen.iter().map(Stamp::file));
        if now == seen {
            continue;
        }
        let before = seen;
        let read = caught(|| in_use.again().map_err(|error| error.to_string()));
        // As they were before they were read, so that a later change is seen.
        seen = match &read {
            Ok(config) => stamps_when_read(config),
            Err(_) => now,
        };
        let changed = read.and_then(|config| {
            let changed =
                caught(|| Changed::build(control, &config).map_err(|invalid| config.error(invalid).to_string()))?;
            Ok((config, changed))
        });
        let used = match changed {
            Ok((config, changed)) => {
                let used = changed.use_from_now_on(control).await;
                if used.is_err() {
                    // It is not the files' fault: they are tried again.
                    seen = before;
                }
                used.map(|()| config)
            }
            Err(reason) => Err(reason),
        };
        match used {
            Ok(config) => {
                for key in fixed(&in_use, &config) {
                    tracing::warn!(key, "this change takes a restart");
                }
                in_use = config;
            }
            Err(reason) => control.shared.reload(Err(reason)),
        }
    }
}

/// Whatever a changed configuration does to us, the old one goes on.
fn caught<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    let caught = panic::catch_unwind(AssertUnwindSafe(read));
    caught.unwrap_or_else(|_| Err("it made chathook panic; the log has the place".to_owned()))
}

/// What a changed configuration comes to.
struct Changed {
    live: Live,
    targets: Prepared,
    tls: Option<Material>,
}

impl Changed {
    fn build(control: &Control, config: &Config) -> Result<Self, Invalid> {
        let tls = config.callbacks.tls.as_ref().filter(|_| control.tls.is_some());
        Ok(Self {
            live: control.shared.live(config)?,
            targets: control.shared.targets(config)?,
            tls: tls.map(Material::read).transpose()?,
        })
    }

    /// Takes over everything, or nothing.
    async fn use_from_now_on(self, control: &Control) -> Result<(), String> {
        control.shared.deliver_to(self.targets).await.map_err(|error| format!("target: {error}"))?;
        if let (Some(tls), Some(files)) = (&control.tls, self.tls) {
            tls.swap(files);
        }
        control.shared.reload(Ok(self.live));
        Ok(())
    }
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
        ("journal", !old.journal.is_same_place(&new.journal)),
        ("log", old.log.level != new.log.level || old.log.format != new.log.format),
        ("traces", old.traces != new.traces),
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

/// The stamps of files as they are now.
fn stamps<'a>(files: impl IntoIterator<Item = &'a Path>) -> Vec<Stamp> {
    files.into_iter().map(Stamp::of).collect()
}

/// The stamps before anything was read: what changes later is noticed, even before the watch begins.
pub(crate) fn stamps_when_read(config: &Config) -> Vec<Stamp> {
    let mut stamps = stamps(config.files());
    for stamp in &mut stamps {
        if let Some(origin) = config.origin.as_ref().filter(|origin| origin.file == stamp.file) {
            stamp.clone_from(origin);
        }
    }
    stamps
}

#[cfg(test)]
mod tests {
    use super::caught;

    #[test]
    #[expect(clippy::panic, reason = "that is what is caught")]
    fn a_configuration_that_makes_us_panic_is_refused() {
        assert_eq!(caught(|| Ok(7)), Ok(7));
        assert!(caught::<()>(|| panic!("boom")).unwrap_err().contains("panic"));
    }
}
