//! Definitions that make no partition: `SupplementFor=` merges one into another, `Priority=` gives one up.

use super::super::Error;
use super::definition::Definition;

/// Returns the definitions that make partitions: what supplements another one is merged into it, as
/// systemd-repart does where the other partition is not there yet.
///
/// The other one becomes as large as both ask for, and gets the files of both.
///
/// # Errors
/// One that supplements itself, what supplements too, or what is not there.
pub(super) fn merged(definitions: &[Definition]) -> Result<Vec<Definition>, Error> {
    let mut all = definitions.to_vec();
    for definition in definitions {
        let Some(name) = &definition.supplement else {
            continue;
        };
        let refuse = |reason: &str| {
            let problem = format!("SupplementFor={name}: {reason}");
            Err(Error::at(&definition.place, problem))
        };
        let named = |other: &&mut Definition| name_of(&other.place.file) == name;
        let Some(other) = all.iter_mut().find(named) else {
            return refuse("there is no such definition");
        };
        if other.supplement.is_some() {
            return refuse("it supplements one itself");
        }
        other.take(definition);
    }
    all.retain(|definition| definition.supplement.is_none());
    Ok(all)
}

/// Gives up the most dispensable definitions, all with the highest `Priority=` above 0 and the other half of
/// each pair, and returns their files.
pub(super) fn give_up(definitions: &mut Vec<Definition>) -> Vec<String> {
    let highest = definitions.iter().map(|definition| definition.priority);
    let highest = highest.max().unwrap_or(0);
    if highest <= 0 {
        return Vec::new();
    }
    let lost = |definition: &Definition| definition.priority == highest;
    let key = |definition: &Definition| Some(definition.verity.as_ref()?.1.clone());
    let pairs: Vec<String> = definitions
        .iter()
        .filter(|one| lost(one))
        .filter_map(key)
        .collect();
    let paired = |definition: &Definition| key(definition).is_some_and(|key| pairs.contains(&key));
    let gone = |definition: &mut Definition| lost(definition) || paired(definition);
    let files = definitions.extract_if(.., gone).map(|one| one.place.file);
    let files: Vec<String> = files.collect();
    // What supplemented one of them stands alone.
    for definition in definitions {
        let of = definition.supplement.as_ref();
        if of.is_some_and(|name| files.iter().any(|file| name_of(file) == name)) {
            definition.supplement = None;
        }
    }
    files
}

/// Returns the name of a definition by that of its file.
fn name_of(file: &str) -> &str {
    file.strip_suffix(".conf").unwrap_or(file)
}

impl Definition {
    /// Takes over what another one asks for beside a partition of its own.
    fn take(&mut self, other: &Self) {
        self.size[0] = self.size[0].max(other.size[0]);
        if let (Some(least), Some(most)) = (self.size[0], &mut self.size[1]) {
            *most = least.max(*most);
        }
        self.copy.extend_from_slice(&other.copy);
        self.exclude.extend_from_slice(&other.exclude);
        self.folders.extend_from_slice(&other.folders);
        self.links.extend_from_slice(&other.links);
    }
}

#[cfg(test)]
mod tests {
    use super::super::definition::parse;
    use super::*;

    fn definition(file: &str, text: &str) -> Definition {
        parse(file, &format!("[Partition]\n{text}")).unwrap()
    }

    #[test]
    fn what_supplements_is_merged_and_makes_no_partition() {
        let all = [
            definition(
                "00-esp.conf",
                "Type=esp\nSizeMinBytes=100M\nSizeMaxBytes=200M\n",
            ),
            definition(
                "05-boot.conf",
                "Type=xbootldr\nSupplementFor=00-esp\nSizeMinBytes=500M\nCopyFiles=/boot\n",
            ),
        ];
        let merged = merged(&all).unwrap();
        assert_eq!(merged.len(), 1);
        assert_eq!(merged[0].size, [Some(500 << 20), Some(500 << 20)]);
        assert_eq!(merged[0].copy, [["/boot", "/boot"]]);
    }

    #[test]
    fn what_is_given_up_has_the_highest_priority_and_takes_its_pair_along() {
        let mut all = vec![
            definition("a.conf", "Type=esp\nPriority=5\n"),
            definition("b.conf", "Type=xbootldr\nSupplementFor=a\nPriority=1\n"),
            definition(
                "c.conf",
                "Type=usr\nVerity=data\nVerityMatchKey=u\nPriority=5\n",
            ),
            definition("d.conf", "Type=usr-verity\nVerity=hash\nVerityMatchKey=u\n"),
            definition("e.conf", "Type=root\nPriority=-1\n"),
        ];
        assert_eq!(give_up(&mut all), ["a.conf", "c.conf", "d.conf"]);
        assert!(all.iter().all(|definition| definition.supplement.is_none()));
        assert_eq!(give_up(&mut all), ["b.conf"]);
        assert!(give_up(&mut all).is_empty() && all.len() == 1);
    }

    #[test]
    fn what_supplements_nothing_is_refused() {
        let one = |text| {
            [
                definition("a.conf", text),
                definition("b.conf", "Type=home\n"),
            ]
        };
        for (text, said) in [
            ("Type=home\nSupplementFor=c\n", "no such"),
            ("Type=home\nSupplementFor=a\n", "itself"),
        ] {
            let error = merged(&one(text)).unwrap_err().to_string();
            assert!(
                error.starts_with("a.conf: ") && error.contains(said),
                "{error}"
            );
        }
    }
}
