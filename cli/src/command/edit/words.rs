//! The words of an action: options and the rest.

use forger_fs::tree::shown;

use super::action::{Bytes, Facts, mode, text};
use crate::args::{owner, time};

/// The words of an action behind its name, sorted into options and the rest.
pub(super) struct Words {
    flags: Vec<Bytes>,
    /// What `--mode`, `--owner` and `--time` say.
    pub(super) facts: Facts,
    pub(super) rest: Vec<Bytes>,
}

impl Words {
    /// Reads options; `flags` are those without a value, `values` those with one.
    pub(super) fn read(words: Vec<Bytes>, flags: &[&str], values: &[&str]) -> Result<Self, String> {
        let mut read = Self {
            flags: Vec::new(),
            facts: Facts::default(),
            rest: Vec::new(),
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if word == b"--" {
                read.rest.extend(words);
                break;
            }
            if flags.iter().any(|flag| flag.as_bytes() == word) {
                read.flags.push(word);
                continue;
            }
            let (name, inline) = match word.iter().position(|byte| *byte == b'=') {
                Some(at) if word.starts_with(b"--") => (&word[..at], Some(word[at + 1..].to_vec())),
                _ => (&word[..], None),
            };
            if values.iter().any(|value| value.as_bytes() == name) {
                let value = inline.or_else(|| words.next());
                let value = value.ok_or_else(|| format!("{} needs a value", shown(name)))?;
                read.take(name, &text(value)?)?;
            } else if word.len() > 1 && word.starts_with(b"-") {
                return Err(format!("{} is no option of this action", shown(&word)));
            } else {
                read.rest.push(word);
            }
        }
        Ok(read)
    }

    fn take(&mut self, name: &[u8], value: &str) -> Result<(), String> {
        match name {
            b"--mode" => self.facts.mode = Some(mode(value)?),
            b"--owner" => self.facts.owner = Some(owner::ids(value)?),
            _ => self.facts.time = Some(time::parse(value)?),
        }
        Ok(())
    }

    pub(super) fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|word| word == flag.as_bytes())
    }

    /// Takes exactly so many words.
    pub(super) fn exactly<const N: usize>(self, usage: &str) -> Result<[Bytes; N], String> {
        self.rest
            .try_into()
            .map_err(|_| format!("expected {usage}"))
    }

    /// Takes one word or more.
    pub(super) fn some(self, usage: &str) -> Result<Vec<Bytes>, String> {
        if self.rest.is_empty() {
            return Err(format!("expected {usage}"));
        }
        Ok(self.rest)
    }
}
