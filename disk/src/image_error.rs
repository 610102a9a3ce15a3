//! What reading an image finds, told to whoever reads blocks.

/// Has the errors of reading a format pass as those of [`BlockRead`](forger_block::BlockRead).
macro_rules! image_error {
    ($error:ident, $format:literal) => {
        /// As an error of whoever reads blocks.
        impl From<$error> for forger_block::Error {
            fn from(error: $error) -> Self {
                match error {
                    $error::Block(error) => error,
                    error => Self::Image {
                        format: $format,
                        source: Box::new(error),
                    },
                }
            }
        }
    };
}

pub(crate) use image_error;
