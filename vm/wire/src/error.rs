//! Why bytes are not what the other end may send.

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes are not a frame of this protocol.
    Magic {
        /// What stands where the magic number should be.
        found: u32,
    },
    /// A frame claims more than [`MAX_PAYLOAD`](crate::MAX_PAYLOAD).
    Length {
        /// The length that it claims, in bytes.
        len: u32,
    },
    /// The checksum does not fit.
    Checksum {
        /// The frame's kind.
        kind: u8,
        /// The checksum in the frame.
        stored: u32,
        /// The checksum of what arrived.
        computed: u32,
    },
    /// The kind of frame is not known.
    Kind {
        /// The kind's number.
        kind: u8,
    },
    /// The payload is shorter than its fields.
    Short {
        /// The frame's kind.
        kind: u8,
    },
    /// The payload has bytes after its last field.
    Long {
        /// The frame's kind.
        kind: u8,
        /// How many.
        extra: usize,
    },
    /// A field has a value that it cannot have.
    Value {
        /// The frame's kind.
        kind: u8,
        /// The field's name.
        field: &'static str,
    },
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Magic { found } => write!(f, "{found:#010x} does not begin a frame"),
            Self::Length { len } => write!(f, "a frame claims {len} bytes"),
            Self::Checksum {
                kind,
                stored,
                computed,
            } => write!(
                f,
                "a frame of kind {kind} has the checksum {stored:#010x} instead of {computed:#010x}"
            ),
            Self::Kind { kind } => write!(f, "there are no frames of kind {kind}"),
            Self::Short { kind } => write!(f, "a frame of kind {kind} is too short"),
            Self::Long { kind, extra } => {
                write!(f, "a frame of kind {kind} has {extra} bytes too many")
            }
            Self::Value { kind, field } => {
                write!(f, "a frame of kind {kind} has a wrong {field}")
            }
        }
    }
}

impl std::error::Error for WireError {}
