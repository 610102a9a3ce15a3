//! The lists that depmod makes of modules, as far as loading needs them.
//!
//! ```text
//!  modules.dep       kernel/fs/jbd2/jbd2.ko: kernel/lib/crc16.ko
//!  modules.softdep   softdep ext4 pre: crc32c
//!  modules.alias     alias crypto-crc32c crc32c_generic
//!  modules.builtin   kernel/fs/ext4/ext4.ko
//! ```

use std::fmt::Write as _;

use super::Error;
use super::modinfo::{before, is_plain_alias, name_of, plain};
use super::modules::{Known, Modules};
use super::place::is_module_path;

/// What needs what.
pub(super) const DEP: &str = "modules.dep";
/// What should be loaded before what.
pub(super) const SOFTDEP: &str = "modules.softdep";
/// Further names.
pub(super) const ALIAS: &str = "modules.alias";
/// What is part of the kernel.
pub(super) const BUILTIN: &str = "modules.builtin";

impl Modules {
    /// Reads `modules.dep`.
    pub(super) fn read_dep(&mut self, text: &str) -> Result<(), Error> {
        for (number, line) in lines(text) {
            let understood = line.split_once(':').and_then(|(path, needs)| {
                let needs: Option<Vec<String>> = needs.split_whitespace().map(name_of).collect();
                let path = Some(path).filter(|path| is_module_path(path))?;
                Some((name_of(path)?, path, needs?))
            });
            let Some((name, path, needs)) = understood else {
                return Err(Error::Text {
                    file: DEP,
                    line: number,
                });
            };
            let known = Known {
                path: path.to_owned(),
                needs,
                wants: Vec::new(),
            };
            self.known.insert(name, known);
        }
        Ok(())
    }

    /// Reads `modules.softdep`.
    pub(super) fn read_softdep(&mut self, text: &str) {
        for (_, line) in lines(text) {
            let Some(rest) = line.strip_prefix("softdep ") else {
                continue;
            };
            let Some((name, needs)) = rest.trim_start().split_once(char::is_whitespace) else {
                continue;
            };
            if let Some(known) = self.known.get_mut(&plain(name)) {
                known.wants.extend(before(needs));
            }
        }
    }

    /// Reads `modules.alias`, patterns of devices left out.
    pub(super) fn read_alias(&mut self, text: &str) {
        for (_, line) in lines(text) {
            let mut words = line.split_whitespace();
            if let (Some("alias"), Some(alias), Some(name), None) =
                (words.next(), words.next(), words.next(), words.next())
                && is_plain_alias(alias)
            {
                self.name_also(alias, name);
            }
        }
    }

    /// Reads `modules.builtin`.
    pub(super) fn read_builtin(&mut self, text: &str) {
        let names = lines(text).filter_map(|(_, line)| name_of(line));
        self.built_in.extend(names);
    }

    /// Returns the lists of what modules say of themselves, by their files' names.
    #[must_use]
    pub fn to_lists(&self) -> [(&'static str, String); 3] {
        let (mut dep, mut softdep, mut alias) = (String::new(), String::new(), String::new());
        for (name, known) in &self.known {
            dep.push_str(&known.path);
            dep.push(':');
            for need in &known.needs {
                // One that is part of the kernel has no path.
                if let Some(known) = self.known.get(need) {
                    dep.push(' ');
                    dep.push_str(&known.path);
                }
            }
            dep.push('\n');
            if !known.wants.is_empty() {
                // A string takes everything.
                let _ = writeln!(softdep, "softdep {name} pre: {}", known.wants.join(" "));
            }
        }
        for (also, names) in &self.aliases {
            for name in names {
                let _ = writeln!(alias, "alias {also} {name}");
            }
        }
        [(DEP, dep), (SOFTDEP, softdep), (ALIAS, alias)]
    }
}

/// Returns lines that say something, with their numbers from 1.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate();
    numbered
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}
