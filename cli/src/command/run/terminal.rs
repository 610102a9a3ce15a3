//! The user's terminal, handed to the guest's command.

use std::io::IsTerminal;

use forger_vm::Terminal;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::exit::Failure;

/// A terminal in raw mode; it is as before when this is dropped.
pub(super) struct Raw(Termios);

impl Raw {
    /// Lets every key through, if standard input is a terminal.
    pub(super) fn enter() -> Result<Option<Self>, Failure> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return Ok(None);
        }
        let failed = |error: rustix::io::Errno| {
            Failure::failed("cannot set the terminal up").because(std::io::Error::from(error))
        };
        let before = tcgetattr(&stdin).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        // What was typed ahead stays.
        tcsetattr(&stdin, OptionalActions::Drain, &raw).map_err(failed)?;
        Ok(Some(Self(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs no mode.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.0);
    }
}

/// Returns the terminal's size; a usual one where there is none.
pub(super) fn size() -> Terminal {
    let size = tcgetwinsize(std::io::stdout()).or_else(|_| tcgetwinsize(std::io::stdin()));
    match size {
        Ok(size) if size.ws_row > 0 => Terminal {
            rows: size.ws_row,
            columns: size.ws_col,
        },
        _ => Terminal {
            rows: 24,
            columns: 80,
        },
    }
}
