use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

/// A secret: in a file (`{ file = "..." }`), in the environment (`{ env = "..." }`), or written out. Never printed.
#[derive(Clone)]
pub struct Secret(Source);

#[derive(Clone)]
enum Source {
    File(PathBuf),
    Env(String),
    Value(SecretString),
}

impl Secret {
    /// A secret that is known already.
    #[must_use]
    pub fn value(secret: impl Into<String>) -> Self {
        Self(Source::Value(SecretString::from(secret.into())))
    }

    /// The file that holds it.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.0 {
            Source::File(file) => Some(file),
            Source::Env(_) | Source::Value(_) => None,
        }
    }

    /// Reads it. A final line break in a file is not part of it.
    pub(crate) fn read(&self) -> Result<SecretString, String> {
        use secrecy::ExposeSecret;
        let secret = match &self.0 {
            Source::Value(secret) => secret.clone(),
            Source::Env(name) => std::env::var(name)
                .map_err(|_| format!("the environment variable {name} is not set, or not text"))?
                .into(),
            Source::File(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
                text.trim_end_matches(['\r', '\n']).into()
            }
        };
        match secret.expose_secret() {
            "" => Err("is empty".to_owned()),
            _ => Ok(secret),
        }
    }
}

/// Whether both are the same as they are configured; a file may have changed meanwhile.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        use secrecy::ExposeSecret;
        match (&self.0, &other.0) {
            (Source::File(one), Source::File(other)) => one == other,
            (Source::Env(one), Source::Env(other)) => one == other,
            (Source::Value(one), Source::Value(other)) => one.expose_secret() == other.expose_secret(),
            _ => false,
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::File(file) => write!(f, "Secret(file {})", file.display()),
            Source::Env(name) => write!(f, "Secret(env {name})"),
            Source::Value(_) => f.write_str("Secret(***)"),
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// By hand, so that no error message can quote a secret.
struct SecretVisitor;

const EXPECTED: &str = "expected a string, { file = \"...\" } or { env = \"...\" }";

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret")
    }

    fn visit_str<E: de::Error>(self, secret: &str) -> Result<Secret, E> {
        Ok(Secret::value(secret))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Secret, A::Error> {
        let secret = match fields.next_key::<String>()?.as_deref() {
            Some("file") => Secret(Source::File(fields.next_value()?)),
            Some("env") => Secret(Source::Env(fields.next_value()?)),
            Some(other) => return Err(de::Error::unknown_field(other, &["file", "env"])),
            None => return Err(de::Error::custom(EXPECTED)),
        };
        match fields.next_key::<String>()? {
            Some(_) => Err(de::Error::custom(EXPECTED)),
            None => Ok(secret),
        }
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Secret, E> {
        Err(E::custom(EXPECTED))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Secret, E> {
        Err(E::custom(EXPECTED))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Secret, E> {
        Err(E::custom(EXPECTED))
    }
}

/// Reads a list of secrets, or one that stands alone.
pub(crate) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    struct List;
    impl<'de> Visitor<'de> for List {
        type Value = Vec<Secret>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of secrets")
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Secret>, A::Error> {
            let mut secrets = Vec::new();
            while let Some(secret) = items.next_element()? {
                secrets.push(secret);
            }
            Ok(secrets)
        }
        fn visit_str<E: de::Error>(self, secret: &str) -> Result<Vec<Secret>, E> {
            Ok(vec![Secret::value(secret)])
        }
        fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Vec<Secret>, A::Error> {
            SecretVisitor.visit_map(fields).map(|secret| vec![secret])
        }
        fn visit_bool<E: de::Error>(self, value: bool) -> Result<Vec<Secret>, E> {
            SecretVisitor.visit_bool(value).map(|secret| vec![secret])
        }
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<Vec<Secret>, E> {
            SecretVisitor.visit_i64(value).map(|secret| vec![secret])
        }
        fn visit_f64<E: de::Error>(self, value: f64) -> Result<Vec<Secret>, E> {
            SecretVisitor.visit_f64(value).map(|secret| vec![secret])
        }
    }
    deserializer.deserialize_any(List)
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_is_never_printed() {
        assert_eq!(format!("{:?}", Secret::value("k3y")), "Secret(***)");
    }
}
