//! Reads what a callback server answers, as strictly as Chat has to be told.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::decision::{Choice, Response};
use super::sealed::LeftOut;
use super::{AnyDecision, Edits, Form, FriendCode, IllegalDecision, RejectCode, Verdict, proposal};
use crate::callbacks::Command;
use crate::command::CommandName;
use crate::message::MsgElement;
use crate::types::UserId;

/// Why the answer of a callback server is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// Not JSON, or a field of another type.
    // Its own words quote what was read.
    #[error("not an answer in JSON: line {}, column {}", .0.line(), .0.column())]
    Json(#[from] serde_json::Error),
    /// `ActionStatus` is neither `OK` nor `FAIL`.
    #[error("ActionStatus is neither OK nor FAIL")]
    Status,
    /// `ActionStatus` says `FAIL` and `ErrorCode` says 0.
    #[error("ActionStatus is FAIL and ErrorCode is 0")]
    Contradiction,
    /// A field that belongs to the answer to other commands.
    #[error("{0} does not belong to the answer to this command")]
    ForeignField(&'static str),
    /// The answer names another command.
    #[error("it answers another command")]
    OtherCommand,
    /// A refusal that also says how the event is to happen.
    #[error("it refuses, and has {0} as well")]
    RefusalWith(&'static str),
    /// Not one verdict for each user asked about.
    #[error("ResultItem has not one verdict for each user asked about")]
    Verdicts,
    /// The server says that it failed, which Chat takes for no verdict.
    #[error("ErrorCode {0} stands outside ResultItem, where it refuses nothing")]
    Failed(u32),
    /// Chat would not take it.
    #[error(transparent)]
    Illegal(#[from] IllegalDecision),
}

/// All that any command's answer may have. Fields that nobody knows are as good as not there, as they are for Chat, and
/// so are empty ones: servers that write every field they know leave those empty that do not apply.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fields {
    action_status: String,
    error_code: u32,
    #[serde(default)]
    error_info: Option<String>,
    #[serde(default)]
    msg_body: Option<Vec<MsgElement>>,
    #[serde(default)]
    cloud_custom_data: Option<String>,
    #[serde(default)]
    result_item: Option<Vec<Item>>,
    #[serde(default, rename = "RefusedMembers_Account")]
    refused_members: Option<Vec<UserId>>,
    #[serde(default, rename = "RefusedSubscribers_Account")]
    refused_subscribers: Option<Vec<UserId>>,
    #[serde(default)]
    rsp_data: Option<String>,
    #[serde(default)]
    agent_group_id: Option<u64>,
    #[serde(default)]
    agent_id_list: Option<Vec<Box<str>>>,
    #[serde(default)]
    callback_command: Option<String>,
}

/// A struct alone would be read from an array too.
struct Object(Fields);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Object, A::Error> {
                Fields::deserialize(MapAccessDeserializer::new(entries)).map(Object)
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    #[serde(rename = "To_Account")]
    to: UserId,
    result_code: u32,
    #[serde(default)]
    result_info: Option<String>,
}

impl AnyDecision {
    /// Reads the body that a callback server answers to `command` with; `asked` as in [`AnyDecision::of`].
    ///
    /// # Errors
    /// When it is not JSON, or nothing that Chat would take as the answer to this command.
    pub fn read(command: Command, body: &[u8], asked: &[UserId]) -> Result<Self, AnswerError> {
        let Object(fields) = serde_json::from_slice(body)?;
        if let Some(other) = fields.callback_command.as_deref().map(CommandName::from)
            && other != CommandName::Known(command)
        {
            return Err(AnswerError::OtherCommand);
        }
        let form = command.form();
        let fields = fields.of_form(form)?;
        let choice = match fields.error_code {
            0 => fields.happens(form, asked)?,
            code => fields.refuses(form, code)?,
        };
        Ok(Self::new(form, choice))
    }
}

impl Fields {
    /// Checks status and code, and that no field says something that is said to other commands only.
    fn of_form(self, form: Form) -> Result<Self, AnswerError> {
        match self.action_status.as_str() {
            "FAIL" if self.error_code == 0 => return Err(AnswerError::Contradiction),
            "OK" | "FAIL" => {}
            _ => return Err(AnswerError::Status),
        }
        let is_message = matches!(form, Form::Message(_));
        let joins = |left_out| matches!(form, Form::Join(field, _) if field == left_out);
        for (name, is_here) in self.said() {
            let belongs = match name {
                "MsgBody" | "CloudCustomData" => is_message,
                "ResultItem" => matches!(form, Form::Friends),
                "RefusedMembers_Account" => joins(LeftOut::Members),
                "RefusedSubscribers_Account" => joins(LeftOut::Subscribers),
                "RspData" => form == Form::Signal,
                _ => form == Form::Assignment,
            };
            if is_here && !belongs {
                return Err(AnswerError::ForeignField(name));
            }
        }
        Ok(self)
    }

    /// The fields beside the three that every answer has, and whether they say anything.
    fn said(&self) -> [(&'static str, bool); 8] {
        fn full<T>(list: Option<&Vec<T>>) -> bool {
            list.is_some_and(|list| !list.is_empty())
        }
        let text = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
        [
            ("MsgBody", full(self.msg_body.as_ref())),
            ("CloudCustomData", text(&self.cloud_custom_data)),
            ("ResultItem", full(self.result_item.as_ref())),
            ("RefusedMembers_Account", full(self.refused_members.as_ref())),
            ("RefusedSubscribers_Account", full(self.refused_subscribers.as_ref())),
            ("RspData", text(&self.rsp_data)),
            ("AgentGroupId", self.agent_group_id.is_some()),
            ("AgentIdList", full(self.agent_id_list.as_ref())),
        ]
    }

    /// `ErrorCode` is 0.
    fn happens(self, form: Form, asked: &[UserId]) -> Result<Choice, AnswerError> {
        match form {
            Form::Message(_) => {
                let edits = Edits {
                    body: self.msg_body.filter(|body| !body.is_empty()),
                    cloud_custom_data: self.cloud_custom_data.filter(|data| !data.is_empty()),
                };
                match edits {
                    edits if edits.is_empty() => Ok(Choice::Allow),
                    edits => Ok(proposal::rewrite(form, edits.whole()?)?),
                }
            }
            Form::Join(..) => {
                let refused = self.refused_members.or(self.refused_subscribers).unwrap_or_default();
                Ok(proposal::partial(form, refused, None, "", asked)?)
            }
            Form::Friends => verdicts(&self.result_item.unwrap_or_default(), asked),
            Form::Signal => Ok(proposal::respond(form, Response::Data(self.rsp_data.unwrap_or_default()))?),
            Form::Assignment => {
                let agents = self.agent_id_list.unwrap_or_default();
                Ok(proposal::respond(form, Response::Agents { group: self.agent_group_id, agents })?)
            }
            Form::Permission(_) | Form::Invoked | Form::Ack => Ok(Choice::Allow),
        }
    }

    /// `ErrorCode` is not 0.
    fn refuses(self, form: Form, code: u32) -> Result<Choice, AnswerError> {
        if form == Form::Friends {
            return Err(AnswerError::Failed(code));
        }
        if let Some((name, _)) = self.said().into_iter().find(|(_, is_here)| *is_here) {
            return Err(AnswerError::RefusalWith(name));
        }
        let range = match form {
            Form::Message(_) if code == 2 => return Ok(Choice::Drop),
            Form::Message(range) | Form::Permission(range) | Form::Join(_, range) => range,
            Form::Signal | Form::Assignment => None,
            Form::Ack | Form::Invoked | Form::Friends => return Err(IllegalDecision::NoRefusal.into()),
        };
        Ok(proposal::refuse((code != 1).then_some(code), self.error_info.unwrap_or_default(), range)?)
    }
}

/// One verdict for each of `asked`, in their order. No verdicts at all let everything happen: it is what a server says
/// that answers OK to whatever comes.
fn verdicts(items: &[Item], asked: &[UserId]) -> Result<Choice, AnswerError> {
    if items.is_empty() {
        return Ok(Choice::Verdicts(asked.iter().map(|user| (user.clone(), Verdict::Allow)).collect()));
    }
    if items.len() != asked.len() {
        return Err(AnswerError::Verdicts);
    }
    let items: HashMap<&UserId, &Item> = items.iter().map(|item| (&item.to, item)).collect();
    let verdict = |user: &UserId| match items.get(user) {
        None => Err(AnswerError::Verdicts),
        Some(Item { result_code: 0, .. }) => Ok((user.clone(), Verdict::Allow)),
        Some(Item { result_code, result_info, .. }) => {
            let code: FriendCode = RejectCode::from_number(*result_code)?;
            Ok((user.clone(), Verdict::reject(code, result_info.as_deref().unwrap_or_default())))
        }
    };
    asked.iter().map(verdict).collect::<Result<_, _>>().map(Choice::Verdicts)
}
