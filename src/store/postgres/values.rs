//! Parameters of statements. The schema has four types only, so that none has to be guessed.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// One parameter.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// `bigint`
    Integer(Option<i64>),
    /// `text`
    Text(Option<String>),
    /// `boolean`
    Bool(Option<bool>),
    /// `bytea`
    Bytes(Option<Vec<u8>>),
    /// `bigint[]`
    Integers(Vec<i64>),
    /// `bigint[]`, with nothing in some places
    MaybeIntegers(Vec<Option<i64>>),
    /// `text[]`
    Texts(Vec<String>),
    /// `text[]`, with nothing in some places
    MaybeTexts(Vec<Option<String>>),
    /// `boolean[]`, with nothing in some places
    MaybeBools(Vec<Option<bool>>),
    /// `bytea[]`, with nothing in some places
    MaybeBytes(Vec<Option<Vec<u8>>>),
}

impl ToSql for Value {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Integer(value) => value.to_sql(kind, out),
            Self::Text(value) => value.to_sql(kind, out),
            Self::Bool(value) => value.to_sql(kind, out),
            Self::Bytes(value) => value.to_sql(kind, out),
            Self::Integers(value) => value.to_sql(kind, out),
            Self::MaybeIntegers(value) => value.to_sql(kind, out),
            Self::Texts(value) => value.to_sql(kind, out),
            Self::MaybeTexts(value) => value.to_sql(kind, out),
            Self::MaybeBools(value) => value.to_sql(kind, out),
            Self::MaybeBytes(value) => value.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// PostgreSQL's text can't hold U+0000, which upstreams and clients may send: their words are kept without it.
fn text(value: &str) -> String {
    value.replace('\0', "\u{fffd}")
}

macro_rules! from {
    ($($kind:ty => |$value:ident| $variant:ident $(($inner:expr))?;)+) => { $(
        impl From<$kind> for Value {
            fn from($value: $kind) -> Self {
                Self::$variant($($inner)?)
            }
        }
    )+ };
}

from! {
    i64 => |value| Integer(Some(value));
    u32 => |value| Integer(Some(value.into()));
    Option<i64> => |value| Integer(value);
    Option<u32> => |value| Integer(value.map(i64::from));
    &str => |value| Text(Some(text(value)));
    &String => |value| Text(Some(text(value)));
    String => |value| Text(Some(text(&value)));
    Option<&str> => |value| Text(value.map(text));
    Option<&String> => |value| Text(value.map(|value| text(value)));
    Option<String> => |value| Text(value.as_deref().map(text));
    &Option<String> => |value| Text(value.as_deref().map(text));
    bool => |value| Bool(Some(value));
    Option<bool> => |value| Bool(value);
    &[u8] => |value| Bytes(Some(value.to_vec()));
    Option<Vec<u8>> => |value| Bytes(value);
    Vec<i64> => |value| Integers(value);
    Vec<Option<i64>> => |value| MaybeIntegers(value);
    Vec<String> => |value| Texts(value.iter().map(|value| text(value)).collect());
    Vec<Option<String>> => |value| MaybeTexts(value.iter().map(|value| value.as_deref().map(text)).collect());
    Vec<Option<Vec<u8>>> => |value| MaybeBytes(value);
}

/// Rows of parameters, each as long as the first and of its types, as one list for each column. None is a list already.
pub(super) fn lists(rows: &[Vec<Value>]) -> Vec<Value> {
    let column = |(place, first): (usize, &Value)| {
        let values = rows.iter().map(|row| row.get(place));
        match first {
            Value::Text(_) => Value::MaybeTexts(
                values.map(|value| if let Some(Value::Text(text)) = value { text.clone() } else { None }).collect(),
            ),
            Value::Bool(_) => Value::MaybeBools(
                values.map(|value| if let Some(Value::Bool(is)) = value { *is } else { None }).collect(),
            ),
            _ => Value::MaybeIntegers(
                values.map(|value| if let Some(Value::Integer(number)) = value { *number } else { None }).collect(),
            ),
        }
    };
    rows.first().into_iter().flatten().enumerate().map(column).collect()
}

/// The parameters of a statement.
macro_rules! params {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::postgres::values::Value::from($value)),*] };
}
pub(super) use params;
