//! The certificates that are trusted: PEM bundles, as systems keep them.

use ureq::tls::{Certificate, PemItem, parse_pem};

use super::Error;

/// Certificates of authorities that vouch for hosts.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    certificates: Vec<Certificate<'static>>,
}

impl Roots {
    /// Adds the certificates of a PEM bundle; `origin` names it in errors.
    ///
    /// # Errors
    /// [`Error::Roots`] when one cannot be read.
    pub fn add_pem(&mut self, pem: &[u8], origin: &str) -> Result<(), Error> {
        for (index, item) in parse_pem(pem).enumerate() {
            match item {
                Ok(PemItem::Certificate(certificate)) => self.certificates.push(certificate),
                // A key in a bundle is odd, but no reason to trust no one.
                Ok(_) => {}
                Err(error) => {
                    return Err(Error::Roots {
                        origin: origin.to_owned(),
                        number: index.saturating_add(1),
                        source: error.into(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.certificates.len()
    }

    /// Tells whether no one is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    pub(super) fn certificates(&self) -> &[Certificate<'static>] {
        &self.certificates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_certificate_is_named() {
        let mut roots = Roots::default();
        let pem = b"-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
        let error = roots.add_pem(pem, "ca.pem").unwrap_err();
        assert_eq!(error.to_string(), "ca.pem: certificate 1 cannot be read");
        assert!(roots.is_empty());
        roots
            .add_pem(b"# nothing but a comment\n", "ca.pem")
            .unwrap();
        assert_eq!(roots.len(), 0);
    }
}
