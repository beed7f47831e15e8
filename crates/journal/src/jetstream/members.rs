//! Which replicas there are, and which shares of a target each is to have.
//!
//! A replica has a name and a record, which it writes every `RENEWAL`, with the revision that it wrote before as condition. As
//! long as the last write that succeeded began less than `HOLD` ago, it gives out deliveries of the shares that it holds. Others
//! watch its record. When it did not change for `EXPIRY` by their own clock, they write that it is gone, with the revision that
//! they saw as condition: either that write wins or the next renewal does, and who is gone can never renew again. Its shares
//! are free from then on, and it has stopped giving them out before. No clock is compared with another.
//!
//! So a replica that has nothing to do writes twice a second, however many targets and shares there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::names::{SHARES, lane};
use super::read;
use super::target::{Share, Written};
use super::{ANSWER, PATIENCE, Shared};
use crate::error::JournalError;

const RENEWAL: Duration = Duration::from_millis(500);
const HOLD: Duration = Duration::from_secs(2);
const EXPIRY: Duration = Duration::from_millis(3500);
const POLL: Duration = Duration::from_millis(250);
/// Who counts another as gone has renewed so often itself meanwhile: while the servers take no writes, nobody is gone.
const RENEWALS: u64 = 4;

/// This process among the replicas.
#[derive(Debug, Default)]
pub(super) struct Members {
    view: watch::Sender<View>,
    /// Until when nobody else can have what we hold.
    until: Mutex<Option<Instant>>,
    /// What we take part in changed.
    changed: Notify,
}

/// Who there is, as far as we saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct View {
    /// Our name; none: we are not there yet, or were counted as gone.
    pub(super) me: Option<String>,
    /// Those who are there, and the targets that they deliver to.
    members: BTreeMap<String, Vec<String>>,
    gone: BTreeSet<String>,
}

/// The record of a replica.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Member {
    targets: Vec<String>,
    #[serde(skip_serializing_if = "is_false", default)]
    gone: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Members {
    /// Watches who there is.
    pub(super) fn watch(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// The targets that we deliver to are others now.
    pub(super) fn targets_changed(&self) {
        self.changed.notify_one();
    }

    /// Whether what we hold is certainly ours.
    pub(super) fn is_certain(&self, now: Instant) -> bool {
        self.until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| now < until)
    }

    /// Returns whether it was certain before.
    fn certain_until(&self, until: Option<Instant>) -> bool {
        let before = std::mem::replace(&mut *self.until.lock().unwrap_or_else(PoisonError::into_inner), until);
        before.is_some_and(|before| Instant::now() < before)
    }

    /// Begins to give out what is in a share that was taken under a name, if that is still ours.
    pub(super) fn hold(&self, share: &Share, me: &str) -> bool {
        // Whoever takes the name away waits for this view.
        let view = self.view.borrow();
        let is_me = view.me.as_deref() == Some(me);
        if is_me {
            share.held.store(true, Ordering::Relaxed);
        }
        is_me
    }
}

impl View {
    pub(super) fn is_there(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    pub(super) fn is_gone(&self, name: &str) -> bool {
        self.gone.contains(name)
    }

    /// How many shares of a target are for us, and the first that we try: those who deliver to it get about as many each, and
    /// which of them get one more differs from target to target.
    pub(super) fn quota(&self, target: &str) -> (usize, u64) {
        let Some(me) = &self.me else { return (0, 0) };
        let others =
            |(name, targets): &(&String, &Vec<String>)| *name != me && targets.iter().any(|name| name == target);
        let (mut count, mut rank) = (1, lane(target));
        for (name, _) in self.members.iter().filter(others) {
            count += 1;
            rank = rank.wrapping_add(u64::from(name < me));
        }
        let rank = rank % count;
        let quota = SHARES / count + u64::from(rank < SHARES % count);
        (usize::try_from(quota).unwrap_or(usize::MAX), rank * SHARES / count)
    }
}

/// Takes part, under a new name whenever we were counted as gone; at last, when the journal is closed and everything is
/// handed back, leaves.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut closed = shared.closed.subscribe();
    let me = loop {
        let me = shared.unique();
        let joined = (AtomicU64::new(0), Notify::new());
        tokio::select! {
            () = renew(&shared, &me, &joined) => {
                tracing::warn!(
                    "what this gateway delivers is given out anew: it could not be seen for too long, or the servers lost \
                     what was written"
                );
                shared.leave();
            }
            () = look(&shared, &me, &joined) => {}
            _ = closed.wait_for(|closed| *closed) => break me,
        }
    };
    let mut pumps = shared.take_pumps();
    drop(timeout(PATIENCE, async { while pumps.join_next().await.is_some() {} }).await);
    // Whoever sees a share that we could not hand back finds nobody of this name, and takes it.
    drop(timeout(ANSWER, shared.purge(&shared.names.state, &shared.names.member(&me), None)).await);
}

/// Renews until somebody counted us as gone.
async fn renew(shared: &Shared, me: &str, (renewals, joined): &(AtomicU64, Notify)) {
    let subject = shared.names.member(me);
    let mut connected = shared.connected.clone();
    let (mut revision, mut in_doubt) = (0, false);
    loop {
        connected.mark_unchanged();
        let began = Instant::now();
        let member = Member { targets: shared.subscribed(), gone: false };
        let written = tokio::select! {
            written = timeout(2 * RENEWAL, shared.write_if(&subject, &member, revision)) => written,
            // What was under way to a connection that is gone may be lost.
            Ok(()) = connected.changed() => continue,
        };
        match written {
            Ok(Ok(Written::Yes(new))) => {
                revision = new;
                if !shared.members.certain_until(Some(began + HOLD)) {
                    // Whoever looked meanwhile was given nothing.
                    shared.wake_all();
                }
                if renewals.fetch_add(1, Ordering::Relaxed) == 0 {
                    joined.notify_one();
                }
                if std::mem::take(&mut in_doubt) {
                    tracing::info!("delivering again");
                }
                tokio::select! {
                    () = tokio::time::sleep(RENEWAL) => {}
                    () = shared.members.changed.notified() => {}
                }
                continue;
            }
            // A write before of which we know nothing, or somebody counted us as gone.
            Ok(Ok(Written::Changed)) => match shared.member(me).await {
                Ok(Some((member, found))) if !member.gone && found > revision => {
                    revision = found;
                    continue;
                }
                Ok(Some((member, found))) if member.gone || found < revision => return,
                // Gone and forgotten, or the servers have an earlier state again.
                Ok(None) if revision > 0 => return,
                Ok(_) | Err(_) => {}
            },
            Ok(Err(error)) => tracing::debug!(%error, "renewing again"),
            Err(_) => tracing::debug!("renewing again: no answer in time"),
        }
        if !in_doubt && revision > 0 && !shared.members.is_certain(Instant::now()) {
            tracing::warn!("not delivering: the servers do not take that this gateway is there");
            in_doubt = true;
        }
        tokio::time::sleep(POLL / 2).await;
    }
}

/// The record of another as we saw it first.
struct Seen {
    revision: u64,
    since: Instant,
    /// Our own renewals until then.
    renewals: u64,
}

/// Watches the others, and counts those as gone who are not heard of any more. Ends never.
async fn look(shared: &Shared, me: &str, (renewals, joined): &(AtomicU64, Notify)) {
    let mut seen: HashMap<String, Seen> = HashMap::new();
    loop {
        match read::all(&shared.client, &shared.names.state, &shared.names.members()).await {
            Ok(found) => {
                let renewals = renewals.load(Ordering::Relaxed);
                let mut view = View { me: (renewals > 0).then(|| me.to_owned()), ..View::default() };
                for found in found {
                    let Some(name) = found.subject.rsplit('.').next() else { continue };
                    let Ok(member) = serde_json::from_slice::<Member>(&found.payload) else { continue };
                    if member.gone || is_expired(shared, name, found.sequence, renewals, me, &mut seen).await {
                        view.gone.insert(name.to_owned());
                    } else {
                        view.members.insert(name.to_owned(), member.targets);
                    }
                }
                seen.retain(|name, _| view.is_there(name));
                shared.members.view.send_if_modified(|before| std::mem::replace(before, view.clone()) != view);
            }
            Err(error) => tracing::debug!(%error, "cannot see who is there"),
        }
        tokio::select! {
            () = tokio::time::sleep(POLL) => {}
            () = joined.notified() => {}
        }
    }
}

/// Whether another is not heard of any more, and everybody knows that now.
async fn is_expired(
    shared: &Shared,
    name: &str,
    revision: u64,
    renewals: u64,
    me: &str,
    seen: &mut HashMap<String, Seen>,
) -> bool {
    let now = Instant::now();
    let fresh = || Seen { revision, since: now, renewals };
    let seen = seen.entry(name.to_owned()).or_insert_with(fresh);
    if seen.revision != revision {
        *seen = fresh();
    }
    let is_silent = now.duration_since(seen.since) >= EXPIRY && renewals >= seen.renewals + RENEWALS;
    name != me && is_silent && shared.count_as_gone(name, revision).await
}

impl Shared {
    /// Gives nothing out any more of what was taken under our name, which is gone.
    fn leave(&self) {
        self.members.certain_until(None);
        self.members.view.send_modify(|view| {
            view.me = None;
            for target in self.targets().values().flatten() {
                for share in &target.shares {
                    share.held.store(false, Ordering::Relaxed);
                }
            }
        });
    }

    async fn member(&self, name: &str) -> Result<Option<(Member, u64)>, JournalError> {
        let Some((payload, sequence)) = self.newest(&self.names.state, &self.names.member(name)).await? else {
            return Ok(None);
        };
        let member = serde_json::from_slice(&payload)
            .map_err(|error| JournalError::Failed(format!("stream {}: a replica: {error}", self.names.state)))?;
        Ok(Some((member, sequence)))
    }

    /// Counts a replica as gone, if its record is still of this revision; 0: if it has none.
    pub(super) async fn count_as_gone(&self, name: &str, revision: u64) -> bool {
        let gone = Member { targets: Vec::new(), gone: true };
        let written = self.write_if(&self.names.member(name), &gone, revision).await;
        let is_gone = matches!(written, Ok(Written::Yes(_)));
        if is_gone {
            tracing::info!(replica = name, "a gateway is gone");
        }
        is_gone
    }

    /// Forgets who is gone and holds nothing any more.
    pub(super) async fn forget_gone(&self, holders: &BTreeSet<String>) -> Result<(), JournalError> {
        let gone: Vec<String> = self.members.view.borrow().gone.iter().cloned().collect();
        for name in gone.iter().filter(|name| !holders.contains(*name)) {
            self.purge(&self.names.state, &self.names.member(name), None).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jetstream::target::Target;

    fn view(me: &str, others: &[&str], target: &str) -> View {
        let members = others.iter().map(|name| ((*name).to_owned(), vec![target.to_owned()])).collect();
        View { me: Some(me.to_owned()), members, gone: BTreeSet::new() }
    }

    #[test]
    fn the_shares_are_divided_evenly_and_none_is_left() {
        let names: Vec<String> = (0..12).map(|n| format!("m{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for target in ["crm", "audit", "x"] {
            for count in 1..=names.len() {
                let there = &names[..count];
                let quotas: Vec<usize> = there.iter().map(|me| view(me, there, target).quota(target).0).collect();
                assert_eq!(quotas.iter().sum::<usize>() as u64, SHARES, "{quotas:?}");
                assert!(quotas.iter().max().unwrap() - quotas.iter().min().unwrap() <= 1, "{quotas:?}");
            }
        }
    }

    #[test]
    fn who_delivers_to_other_targets_only_gets_no_share() {
        let mut view = view("a", &["b"], "crm");
        assert_eq!(view.quota("audit").0 as u64, SHARES);
        assert_eq!(view.quota("crm").0 as u64, SHARES / 2);
        view.me = None;
        assert_eq!(view.quota("crm").0, 0);
    }

    #[test]
    fn a_share_that_was_taken_under_a_name_that_is_gone_gives_nothing_out() {
        let (members, target) = (Members::default(), Target::new("crm"));
        members.view.send_modify(|view| view.me = Some("new".into()));
        assert!(!members.hold(&target.shares[0], "old"));
        assert_eq!(target.held().count(), 0);
        assert!(members.hold(&target.shares[0], "new"));
        assert_eq!(target.held().count(), 1);
    }

    #[test]
    fn it_is_said_when_what_we_hold_was_not_certain_before() {
        let members = Members::default();
        let now = Instant::now();
        assert!(!members.certain_until(Some(now)), "not there yet");
        assert!(!members.certain_until(Some(now + HOLD)), "too late");
        assert!(members.certain_until(Some(now + HOLD)));
    }
}
