//! Keys: where they come from besides the file, and what is meant by a wrong one.

use chathook_protocol::Command;
use strum::IntoEnumIterator;
use toml::{Table, Value};

use super::Invalid;

/// Puts the variables `CHATHOOK__A__B` over `a.b` of `table`. Gives the keys with their variables; fails with the
/// variable's name.
pub(super) fn override_from(
    table: &mut Table,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Vec<(String, String)>, (String, Invalid)> {
    let mut overrides = Vec::new();
    for (name, text) in variables {
        let Some(path) = name.strip_prefix("CHATHOOK__") else { continue };
        let path: Vec<String> = path.split("__").map(part).collect();
        // `8080`, `true` and `["a"]` mean what they mean in the file; anything else is a string, and so is a token.
        let is_token = path.iter().any(|part| part == "tokens") && !text.starts_with(['[', '{', '"']);
        let value = Some(&text)
            .filter(|_| !is_token)
            .and_then(|text| toml::from_str::<Table>(&format!("value = {text}")).ok()?.remove("value"))
            .unwrap_or(Value::String(text));
        let key = path.join(".");
        match slot(table, &path) {
            Some(slot) => *slot = value,
            None => return Err((name, Invalid::new(key, "does not fit the structure of the configuration"))),
        }
        overrides.push((key, name));
    }
    Ok(overrides)
}

/// A part of a key as the file spells it: in lower case, but for commands.
fn part(name: &str) -> String {
    let command = Command::iter().find(|command| command.as_str().eq_ignore_ascii_case(name));
    command.map_or_else(|| name.to_ascii_lowercase(), |command| command.as_str().to_owned())
}

/// The place of a key, made where there is none yet: tables by name, lists by number.
fn slot<'a>(table: &'a mut Table, path: &[String]) -> Option<&'a mut Value> {
    let (first, rest) = path.split_first()?;
    let mut value = table.entry(first).or_insert_with(|| Value::Table(Table::new()));
    for part in rest {
        let index = part.parse::<usize>().ok();
        if index.is_some() && value.as_table().is_some_and(Table::is_empty) {
            *value = Value::Array(Vec::new());
        }
        value = match value {
            Value::Table(table) => table.entry(part).or_insert_with(|| Value::Table(Table::new())),
            Value::Array(list) => {
                let index = index?;
                if index == list.len() {
                    list.push(Value::Table(Table::new()));
                }
                list.get_mut(index)?
            }
            _ => return None,
        };
    }
    Some(value)
}

/// Whether `key` is what the override of `path` put there: the same, a part of it, or a table that only it made.
pub(super) fn comes_from(key: &str, path: &str, in_file: &Table) -> bool {
    // `app[0].tokens` of an error is `app.0.tokens` of a variable.
    let key = key.replace('[', ".").replace(']', "");
    let is_within = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
    key == path || is_within(&key, path) || (is_within(path, &key) && !in_file.contains_key(&key))
}

/// The key and the problem, from what serde says.
pub(crate) fn explain(error: &serde_path_to_error::Error<toml::de::Error>) -> Invalid {
    let path = match error.path().to_string() {
        path if path == "." => String::new(),
        path => path,
    };
    let message = error.inner().message();
    let Some(unknown) = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) else {
        return Invalid::new(path, without_value(message));
    };
    let known: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
    let key = match path.strip_suffix(unknown) {
        Some(_) => path,
        None if path.is_empty() => unknown.to_owned(),
        None => format!("{path}.{unknown}"),
    };
    let problem = match nearest(unknown, known.iter().copied()) {
        Some(name) => format!("unknown key; did you mean `{name}`?"),
        None => format!("unknown key; there are {}", known.join(", ")),
    };
    Invalid::new(key, problem)
}

/// The message of serde without the value that it quotes, which may be a secret.
fn without_value(message: &str) -> String {
    let unfit = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    match unfit.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((found, expected)) => {
            let kind = found.split(['`', '"']).next().unwrap_or_default().trim();
            format!("expected {expected}, not this {kind}")
        }
        None => message.to_owned(),
    }
}

/// The known name that `name` was probably meant to be.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase()), known))
        .filter(|(likeness, _)| *likeness > 0.5)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}
