//! Writes the JSON of a body, field by field, without a tree.

use crate::request::write_number;

/// An object that is being written. What it is given has to be safe inside a JSON string.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

impl<'a> Object<'a> {
    pub(super) fn begin(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_first: true }
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    fn name(&mut self, name: &str) {
        if !self.is_first {
            self.out.push(b',');
        }
        self.is_first = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(super) fn number(&mut self, name: &str, number: u64) -> &mut Self {
        self.name(name);
        write_number(self.out, number);
        self
    }

    /// A text that is known to need no escapes.
    pub(super) fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.text_of(name, |out| out.extend_from_slice(text.as_bytes()))
    }

    /// A text that `write` writes.
    pub(super) fn text_of(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        self.name(name);
        self.out.push(b'"');
        write(self.out);
        self.out.push(b'"');
        self
    }

    /// A value that is JSON already.
    pub(super) fn json(&mut self, name: &str, json: &str) -> &mut Self {
        self.name(name);
        self.out.extend_from_slice(json.as_bytes());
        self
    }

    /// An object.
    pub(super) fn object(&mut self, name: &str, write: impl FnOnce(&mut Object<'_>)) -> &mut Self {
        self.name(name);
        let mut object = Object::begin(self.out);
        write(&mut object);
        object.end();
        self
    }

    /// A list of `count` objects.
    pub(super) fn list(&mut self, name: &str, count: u32, mut write: impl FnMut(&mut Object<'_>, u32)) -> &mut Self {
        self.name(name);
        self.out.push(b'[');
        for i in 0..count {
            if i > 0 {
                self.out.push(b',');
            }
            let mut object = Object::begin(self.out);
            write(&mut object, i);
            object.end();
        }
        self.out.push(b']');
        self
    }
}
