//! Users and groups, by the image's own files.

use std::fs;
use std::io;

use rustix::process::{Gid, Uid};

/// Whom a job runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) uid: Uid,
    pub(crate) gid: Gid,
    pub(crate) groups: Vec<Gid>,
    pub(crate) name: String,
    pub(crate) home: String,
}

/// The image's files, or what stands for those that it does not have.
#[derive(Debug, Default)]
struct Files {
    passwd: String,
    group: String,
}

/// Finds whom `USER[:GROUP]` means, names or numbers; root when it is empty.
///
/// # Errors
/// A name that the image does not know.
pub(crate) fn find(wanted: &[u8]) -> io::Result<Identity> {
    let read = |path| match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    };
    let files = Files {
        passwd: read("/etc/passwd")?,
        group: read("/etc/group")?,
    };
    files.find(&String::from_utf8_lossy(wanted))
}

impl Files {
    fn find(&self, wanted: &str) -> io::Result<Identity> {
        let (user, group) = match wanted.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (wanted, None),
        };
        let user = if user.is_empty() { "0" } else { user };
        let entry = self.user(user);
        let number = user.parse().ok();
        let uid = entry.as_ref().map(|entry| entry.uid).or(number);
        let uid = uid.ok_or_else(|| unknown("user", user))?;
        let name = entry.as_ref().map_or(user, |entry| entry.name);
        let gid = match group {
            Some(group) => self.group(group).ok_or_else(|| unknown("group", group))?,
            None => entry.as_ref().map_or(0, |entry| entry.gid),
        };
        let home = entry.as_ref().map_or("/", |entry| entry.home);
        let others = match group {
            // A group that is named is the only one.
            Some(_) => Vec::new(),
            None => self.groups_of(name).collect(),
        };
        let groups = std::iter::once(gid)
            .chain(others)
            .map(Gid::from_raw)
            .collect();
        Ok(Identity {
            uid: Uid::from_raw(uid),
            gid: Gid::from_raw(gid),
            groups,
            name: name.to_owned(),
            home: home.to_owned(),
        })
    }

    fn user(&self, wanted: &str) -> Option<User<'_>> {
        let entries = || self.passwd.lines().filter_map(User::parse);
        let number: Option<u32> = wanted.parse().ok();
        entries()
            .find(|entry| entry.name == wanted)
            .or_else(|| entries().find(|entry| Some(entry.uid) == number))
    }

    fn group(&self, wanted: &str) -> Option<u32> {
        self.groups()
            .find(|(name, ..)| *name == wanted)
            .map(|(_, gid, _)| gid)
            .or_else(|| wanted.parse().ok())
    }

    fn groups_of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = u32> + 'a {
        self.groups()
            .filter(move |(.., members)| members.split(',').any(|member| member == user))
            .map(|(_, gid, _)| gid)
    }

    fn groups(&self) -> impl Iterator<Item = (&str, u32, &str)> {
        self.group.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (name, _, gid, members) = (
                fields.next()?,
                fields.next()?,
                fields.next()?,
                fields.next(),
            );
            Some((name, gid.parse().ok()?, members.unwrap_or_default()))
        })
    }
}

/// One line of `/etc/passwd`.
#[derive(Debug)]
struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> User<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split(':');
        let (name, _, uid, gid) = (
            fields.next()?,
            fields.next()?,
            fields.next()?,
            fields.next()?,
        );
        let home = fields.nth(1).filter(|home| !home.is_empty());
        Some(Self {
            name,
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: home.unwrap_or("/"),
        })
    }
}

fn unknown(kind: &str, name: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("the image has no {kind} {name}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        Files {
            passwd: "root:x:0:0:root:/root:/bin/sh\nbroken\nwww:x:33:34::/var/www:\n".to_owned(),
            group: "root:x:0:\nadm:x:4:syslog,www\nwww:x:34:\n".to_owned(),
        }
    }

    fn found(wanted: &str) -> (u32, u32, Vec<u32>, String) {
        let identity = files().find(wanted).unwrap();
        let groups = identity.groups.iter().map(|gid| gid.as_raw()).collect();
        let (uid, gid) = (identity.uid.as_raw(), identity.gid.as_raw());
        (uid, gid, groups, identity.home)
    }

    #[test]
    fn names_and_numbers_are_found_with_their_groups() {
        let www = (33, 34, vec![34, 4], "/var/www".to_owned());
        assert_eq!(found("www"), www);
        assert_eq!(found("33"), www);
        assert_eq!(found(""), (0, 0, vec![0], "/root".to_owned()));
    }

    #[test]
    fn a_group_that_is_named_is_the_only_one() {
        assert_eq!(found("www:adm"), (33, 4, vec![4], "/var/www".to_owned()));
        assert_eq!(found("7:8"), (7, 8, vec![8], "/".to_owned()));
    }

    #[test]
    fn numbers_need_no_entry_but_names_do() {
        assert_eq!(found("1000"), (1000, 0, vec![0], "/".to_owned()));
        for wanted in ["nobody", "www:nogroup", "-1"] {
            assert!(files().find(wanted).is_err(), "{wanted}");
        }
    }
}
