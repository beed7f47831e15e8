//! Keys: where they come from besides the file, and what is meant by a wrong one.

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
        let path: Vec<String> = path.split("__").map(str::to_ascii_lowercase).collect();
        // `8080`, `true` and `["a"]` mean what they mean in the file; anything else is a string.
        let value = toml::from_str::<Table>(&format!("value = {text}"))
            .ok()
            .and_then(|mut table| table.remove("value"))
            .unwrap_or(Value::String(text));
        let key = path.join(".");
        let slot = path.split_last().and_then(|(last, parents)| {
            let parent = parents.iter().try_fold(Node::Table(table), |node, key| node.child(key)?.into_node())?;
            parent.child(last)
        });
        match slot {
            Some(slot) => *slot.0 = value,
            None => return Err((name, Invalid::new(key, "does not fit the structure of the configuration"))),
        }
        overrides.push((key, name));
    }
    Ok(overrides)
}

/// What can hold a key: a table, or a list of tables by number.
enum Node<'a> {
    Table(&'a mut Table),
    List(&'a mut Vec<Value>),
}

struct Slot<'a>(&'a mut Value);

impl<'a> Node<'a> {
    /// The place of `key`, made where there is none yet.
    fn child(self, key: &str) -> Option<Slot<'a>> {
        match self {
            Self::Table(table) => Some(Slot(table.entry(key).or_insert_with(|| Value::Table(Table::new())))),
            Self::List(list) => {
                let index: usize = key.parse().ok()?;
                if index == list.len() {
                    list.push(Value::Table(Table::new()));
                }
                list.get_mut(index).map(Slot)
            }
        }
    }
}

impl<'a> Slot<'a> {
    fn into_node(self) -> Option<Node<'a>> {
        match self.0 {
            Value::Table(table) => Some(Node::Table(table)),
            Value::Array(list) => Some(Node::List(list)),
            _ => None,
        }
    }
}

/// Whether `key` is what the override of `path` put there: the same, a part of it, or a table that only it made.
pub(super) fn comes_from(key: &str, path: &str, in_file: &Table) -> bool {
    // `app[0].tokens` of an error is `app.0.tokens` of a variable.
    let key = key.replace('[', ".").replace(']', "");
    let is_within = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
    key == path || is_within(&key, path) || (is_within(path, &key) && !in_file.contains_key(&key))
}

/// The key and the problem, from what serde says.
pub(super) fn explain(error: &serde_path_to_error::Error<toml::de::Error>) -> Invalid {
    let path = match error.path().to_string() {
        path if path == "." => String::new(),
        path => path,
    };
    let message = error.inner().message();
    let Some(unknown) = message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) else {
        return Invalid::new(path, message);
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

/// The known name that `name` was probably meant to be.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase()), known))
        .filter(|(likeness, _)| *likeness > 0.5)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}
