//! The little of protobuf that dag-pb and UnixFS use: varints and length-delimited fields.

use bytes::BufMut;

/// Why bytes are no valid message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// The value of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// A fixed 32-bit or 64-bit value; its bits.
    Fixed(u64),
}

impl<'a> Value<'a> {
    pub fn varint(self) -> Result<u64, Malformed> {
        match self {
            Value::Varint(value) => Ok(value),
            _ => Err(Malformed("a field that is a varint has another wire type")),
        }
    }

    pub fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Value::Bytes(value) => Ok(value),
            _ => Err(Malformed("a field that is bytes has another wire type")),
        }
    }
}

/// The fields of a message, one after the other.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn of(message: &'a [u8]) -> Self {
        Fields { rest: message }
    }

    /// The next field's number and value.
    pub fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed(self.fixed::<8>()?),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| TOO_LONG)?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed(self.fixed::<4>()?),
            _ => return Err(Malformed("unknown protobuf wire type")),
        };
        Ok(Some((tag >> 3, value)))
    }

    /// Bytes that are not read yet.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(TOO_LONG)?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<u64, Malformed> {
        Ok(self.take(N)?.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().copied().enumerate().take(10) {
            if index == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                if index > 0 && byte == 0 {
                    return Err(Malformed("a varint is longer than it need be"));
                }
                self.take(index + 1)?;
                return Ok(value);
            }
        }
        Err(Malformed("a varint does not end"))
    }
}

const TOO_LONG: Malformed = Malformed("a field is longer than its message");

/// Appends a varint field.
pub(crate) fn put_varint_field(out: &mut Vec<u8>, number: u8, value: u64) {
    out.put_u8(number << 3);
    put_varint(out, value);
}

/// Appends a fixed 32-bit field.
pub(crate) fn put_fixed32_field(out: &mut Vec<u8>, number: u8, value: u32) {
    out.put_u8(number << 3 | 5);
    out.put_u32_le(value);
}

/// Appends a length-delimited field.
pub(crate) fn put_bytes_field(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    put_length_header(out, number, value.len());
    out.put_slice(value);
}

/// Appends the tag and length of a field whose bytes the caller appends next.
pub(crate) fn put_length_header(out: &mut Vec<u8>, number: u8, length: usize) {
    out.put_u8(number << 3 | 2);
    put_varint(out, length as u64);
}

/// How many bytes [`put_bytes_field`] takes for a value of this length.
pub(crate) fn bytes_field_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

/// How many bytes a varint takes.
pub(crate) fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}
