//! Screens group messages, and records who puts whom on a block list.
//!
//! `cargo run --release --example moderation`, then for instance
//! `cargo run --release -- send Group.CallbackBeforeSendMsg`.
//!
//! Takes the configuration and the file of records as arguments.

use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use chathook_gateway::{Config, Gateway};
use chathook_protocol::reply::GroupCode;
use chathook_protocol::{MsgElement, UserId, group, sns};
use chathook_router::{BoxError, Ctx};

/// What the sender's client sees; any from 10100 to 10200 will do, and another one does not compile.
const ADVERTISING: GroupCode = GroupCode::of::<10_137>();

/// What the handlers share.
struct Moderation {
    refused: Vec<&'static str>,
    masked: Vec<&'static str>,
    silenced: Vec<UserId>,
    records: Mutex<std::fs::File>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let config = Config::load(arguments.next().as_deref().unwrap_or("config/local.toml"))?;
    let _log = config.log.start()?;
    let moderation = Moderation {
        refused: vec!["casino", "free followers"],
        masked: vec!["damn"],
        silenced: vec![UserId::from("u_spammer")],
        records: Mutex::new(open(arguments.next().as_deref().unwrap_or("data/block-list.tsv"))?),
    };
    Gateway::with_state(config, moderation).before(screen).after(record).run().await
}

/// Refuses advertising, masks bad words, and lets silenced users believe that they are heard.
async fn screen(cx: Ctx<Moderation>, msg: group::BeforeSendMsg) -> Result<group::SendDecision, BoxError> {
    if cx.silenced.contains(&msg.from) {
        return Ok(group::SendDecision::drop_silently());
    }
    let texts = || msg.body.iter().filter_map(MsgElement::as_text);
    if texts().any(|text| cx.refused.iter().any(|word| text.contains(word))) {
        return Ok(group::SendDecision::reject(ADVERTISING, "advertising is not allowed here"));
    }
    if texts().any(|text| cx.masked.iter().any(|word| text.contains(word))) {
        return Ok(group::SendDecision::rewrite(
            msg.body.into_iter().map(|element| cx.mask(element)).collect::<Vec<_>>(),
        ));
    }
    Ok(group::SendDecision::allow())
}

impl Moderation {
    /// The element without bad words; any that is not text goes back as it came.
    fn mask(&self, element: MsgElement) -> MsgElement {
        let Some(text) = element.as_text() else { return element };
        let masked = self.masked.iter().fold(text.to_owned(), |text, word| text.replace(word, &"*".repeat(word.len())));
        MsgElement::text(masked)
    }
}

/// Appends a line a pair. Chat may tell the same twice, and does not wait for this.
async fn record(cx: Ctx<Moderation>, added: sns::BlackListAdd) -> Result<(), BoxError> {
    let mut records = cx.records.lock().unwrap_or_else(PoisonError::into_inner);
    for pair in &added.pairs {
        writeln!(records, "{}\t{}", pair.from, pair.to)?;
    }
    Ok(())
}

fn open(file: &str) -> std::io::Result<std::fs::File> {
    if let Some(folder) = Path::new(file).parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::File::options().create(true).append(true).open(file)
}
