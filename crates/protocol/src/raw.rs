//! Bodies as they came, with the type that they are hoped to have.

use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::callback::Callback;
use crate::{DecodeError, callbacks};

/// The bytes of a body that arrived as a `C`.
///
/// A handler that takes a `Raw<C>` gets the body even where it does not decode; nothing that Chat sent is lost.
pub struct Raw<C> {
    body: Bytes,
    expects: PhantomData<fn() -> C>,
}

impl<C> Raw<C> {
    /// A body.
    #[must_use]
    pub fn new(body: Bytes) -> Self {
        Self { body, expects: PhantomData }
    }

    /// The bytes as they came.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.body
    }

    /// One field at the top of the body: for one that the documentation grew yesterday.
    ///
    /// # Errors
    /// When the body is no JSON object, or the field is there and no `T`.
    pub fn field<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, serde_json::Error> {
        let fields: std::collections::HashMap<String, Box<serde_json::value::RawValue>> =
            serde_json::from_slice(&self.body)?;
        fields.get(name).map(|value| serde_json::from_str(value.get())).transpose()
    }
}

impl<C: Callback> Raw<C> {
    /// The body as its type.
    ///
    /// # Errors
    /// When it is not what the command promises.
    pub fn decode(&self) -> Result<C, DecodeError> {
        callbacks::decode::<C>(&self.body).0.map(|(callback, _unread)| callback)
    }
}

impl<C> Clone for Raw<C> {
    fn clone(&self) -> Self {
        Self::new(self.body.clone())
    }
}

impl<C> fmt::Debug for Raw<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({} bytes)", self.body.len())
    }
}
