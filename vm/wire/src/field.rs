//! Fields of a payload: numbers, texts and lists, read without trust.

use crate::error::WireError;

/// The most elements of a list.
const MAX_LIST: u32 = 16 << 10;

/// Writes fields.
pub(crate) trait Put {
    /// Appends a byte.
    fn put_u8(&mut self, value: u8);
    /// Appends two bytes.
    fn put_u16(&mut self, value: u16);
    /// Appends four bytes.
    fn put_u32(&mut self, value: u32);
    /// Appends eight bytes.
    fn put_u64(&mut self, value: u64);
    /// Appends a length and bytes.
    fn put_bytes(&mut self, value: &[u8]);
    /// Appends a count and byte strings.
    fn put_list(&mut self, values: &[Vec<u8>]);
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_bytes(&mut self, value: &[u8]) {
        self.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
        self.extend_from_slice(value);
    }

    fn put_list(&mut self, values: &[Vec<u8>]) {
        self.put_u32(u32::try_from(values.len()).unwrap_or(u32::MAX));
        values.iter().for_each(|value| self.put_bytes(value));
    }
}

/// Reads fields.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    kind: u8,
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn new(kind: u8, payload: &'a [u8]) -> Self {
        Self {
            kind,
            rest: payload,
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let short = WireError::Short { kind: self.kind };
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(short)?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, WireError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, WireError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads a flag, 0 or 1.
    pub(crate) fn flag(&mut self, field: &'static str) -> Result<bool, WireError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.wrong(field)),
        }
    }

    /// Reads a length and so many bytes.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let short = WireError::Short { kind: self.kind };
        let len = usize::try_from(self.u32()?).map_err(|_| short)?;
        let (head, rest) = self.rest.split_at_checked(len).ok_or(short)?;
        self.rest = rest;
        Ok(head)
    }

    /// Reads a text, undecodable bytes replaced.
    pub(crate) fn text(&mut self) -> Result<String, WireError> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    /// Reads a count and so many elements.
    pub(crate) fn list<T>(
        &mut self,
        field: &'static str,
        mut element: impl FnMut(&mut Self) -> Result<T, WireError>,
    ) -> Result<Vec<T>, WireError> {
        let count = self.u32()?;
        if count > MAX_LIST {
            return Err(self.wrong(field));
        }
        // Room is made as elements are found, not as they are promised.
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(element(self)?);
        }
        Ok(values)
    }

    /// Reads a count and so many byte strings.
    pub(crate) fn strings(&mut self, field: &'static str) -> Result<Vec<Vec<u8>>, WireError> {
        self.list(field, |fields| fields.bytes().map(<[u8]>::to_vec))
    }

    /// Takes all that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Says that a field has a value that it cannot have.
    pub(crate) fn wrong(&self, field: &'static str) -> WireError {
        WireError::Value {
            kind: self.kind,
            field,
        }
    }

    /// Ends the reading: nothing may be left.
    pub(crate) fn end(self) -> Result<(), WireError> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(WireError::Long {
                kind: self.kind,
                extra,
            }),
        }
    }
}
