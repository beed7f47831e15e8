//! A map of CEL that is read as far as it is looked at: a condition wants two or three fields of a body, and the others
//! may be long.

use std::fmt;
use std::ops::Range;
use std::slice;
use std::sync::OnceLock;

use cel::ExecutionError;
use cel::common::traits::{self, Container, Indexer, Iterable, Sizer};
use cel::common::types::{CelInt, CelMap, CelString, Type};
use cel::common::value::{CowVal, Val};

/// The fields of a text.
pub(super) struct Fields {
    text: Box<[u8]>,
    find: Find,
    read: Read,
    /// `None` where the text has none.
    fields: OnceLock<Option<Vec<Field>>>,
}

/// Finds the fields of a text. Of those with the same name the last counts.
type Find = fn(&[u8]) -> Option<Vec<Field>>;

/// Reads the value of the field of a name.
type Read = fn(&str, &[u8]) -> Option<Box<dyn Val>>;

/// A field, and where in the text its value is.
pub(super) struct Field {
    name: CelString<'static>,
    place: Range<usize>,
    /// `None` where it cannot be read.
    value: OnceLock<Option<Box<dyn Val>>>,
}

impl Field {
    /// `value` has to be a part of `text`.
    pub(super) fn new(name: CelString<'static>, value: &[u8], text: &[u8]) -> Self {
        let start = value.as_ptr().addr().saturating_sub(text.as_ptr().addr());
        Self { name, place: start..start.saturating_add(value.len()), value: OnceLock::new() }
    }
}

impl Fields {
    pub(super) fn new(text: &[u8], find: Find, read: Read) -> Self {
        Self { text: text.into(), find, read, fields: OnceLock::new() }
    }

    fn fields(&self) -> Option<&[Field]> {
        let find = || {
            let mut fields = (self.find)(&self.text)?;
            // By name, and those of one name in their order: there may be as many as fit into a body.
            fields.sort_by(|one, other| str::cmp(&one.name, &other.name));
            Some(fields)
        };
        self.fields.get_or_init(find).as_deref()
    }

    fn field(&self, name: &dyn Val) -> Result<Option<&Field>, ExecutionError> {
        let fields = self.fields().ok_or_else(|| problem("the body is no JSON object"))?;
        let Some(name) = name.downcast_ref::<CelString<'_>>() else { return Ok(None) };
        let after = fields.partition_point(|field| *field.name <= **name);
        Ok(fields.get(..after).and_then(<[_]>::last).filter(|field| *field.name == **name))
    }

    fn value(&self, field: &Field) -> Option<Box<dyn Val>> {
        (self.read)(&field.name, self.text.get(field.place.clone())?)
    }
}

fn problem(text: &str) -> ExecutionError {
    ExecutionError::InternalError(text.to_owned())
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fields({} bytes)", self.text.len())
    }
}

impl Val for Fields {
    fn get_type(&self) -> &Type {
        Self::cel_type()
    }

    fn cel_type() -> &'static Type {
        CelMap::cel_type()
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        self.fields().map(|_| self as _)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        self.fields().map(|_| self as _)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(Self::new(&self.text, self.find, self.read))
    }
}

impl Indexer for Fields {
    fn get<'b, 'v>(&'b self, name: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let field = self.field(name)?.ok_or_else(|| ExecutionError::no_such_key(""))?;
        match field.value.get_or_init(|| self.value(field)) {
            Some(value) => Ok(CowVal::Borrowed(&**value)),
            None => Err(problem("a field is nested too deeply, has too many values, or a number out of range")),
        }
    }

    fn steal<'v>(self: Box<Self>, name: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(name).map(CowVal::into_owned)
    }
}

impl Container for Fields {
    fn contains(&self, name: &dyn Val) -> Result<bool, ExecutionError> {
        self.field(name).map(|field| field.is_some())
    }
}

impl Sizer for Fields {
    fn size(&self) -> CelInt {
        i64::try_from(self.fields().unwrap_or_default().len()).unwrap_or(i64::MAX).into()
    }
}

impl Iterable for Fields {
    fn iter<'b, 'v>(&'b self) -> Box<dyn traits::Iterator<'b, 'v> + 'b>
    where
        Self: 'v,
    {
        Box::new(Names(self.fields().unwrap_or_default().iter()))
    }
}

/// The names of the fields: what a comprehension over a map sees.
struct Names<'b>(slice::Iter<'b, Field>);

impl<'b, 'v> traits::Iterator<'b, 'v> for Names<'b> {
    fn next(&mut self) -> Option<&'b (dyn Val + 'v)> {
        self.0.next().map(|field| &field.name as _)
    }
}
