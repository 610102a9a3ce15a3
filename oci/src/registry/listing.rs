//! Lists that come in pages, linked to each other
//! ([distribution-spec, "Listing Tags"](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#content-discovery)).

use std::collections::HashSet;

use super::Error;
use super::authority::{Authority, Scope};
use crate::http::{Method, Request, Response, Url};

/// The longest page that is read, in bytes.
const PAGE: u64 = 4 << 20;
/// How many pages are read.
const PAGES: usize = 10_000;

/// Reads page after page; `take` gets each, and returns how many entries it had. `first` looks at the
/// answer for the first page: false ends the reading before it begins.
pub(super) fn pages(
    authority: &Authority,
    scope: &Scope,
    start: Url,
    limit: usize,
    mut first: impl FnMut(&Response) -> bool,
    mut take: impl FnMut(&Url, &[u8]) -> crate::Result<usize>,
) -> crate::Result<()> {
    let (mut url, mut count) = (start, 0_usize);
    let mut seen = HashSet::new();
    while seen.len() < PAGES {
        let mut response = authority.send(&Request::new(Method::Get, url.clone()), scope)?;
        if seen.is_empty() && !first(&response) {
            return Ok(());
        }
        if response.status() != 200 {
            return Err(authority.refusal(Method::Get, response).into());
        }
        let bytes = response.bytes(PAGE)?;
        count = count.saturating_add(take(&url, &bytes)?);
        if count > limit {
            return Err(endless(&url, limit, "entries"));
        }
        seen.insert(url.clone());
        let Some(next) = response.headers("link").find_map(next_page) else {
            return Ok(());
        };
        let next = response.url().join(next)?;
        if next.origin() != url.origin() || seen.contains(&next) {
            let reason =
                format!("the list goes on at {next}, where it has been or does not belong");
            return Err(Error::Protocol {
                url: url.to_string(),
                reason,
            }
            .into());
        }
        url = next;
    }
    Err(endless(&url, PAGES, "pages"))
}

fn endless(url: &Url, limit: usize, what: &'static str) -> crate::Error {
    Error::Endless {
        url: url.to_string(),
        limit,
        what,
    }
    .into()
}

/// Reads the next page's address from a `Link` header: `</v2/…?last=b>; rel="next"`.
fn next_page(header: &str) -> Option<&str> {
    header.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = parameters.split(';').any(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or_default();
            name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"') == "next"
        });
        next.then_some(target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found() {
        assert_eq!(
            next_page("</v2/a/tags/list?last=b&n=2>; rel=\"next\""),
            Some("/v2/a/tags/list?last=b&n=2")
        );
        assert_eq!(next_page("<x>; rel=prev, <y>;title=z; rel=next"), Some("y"));
        for other in ["", "<x>; rel=prev", "x; rel=next", "<x; rel=next"] {
            assert_eq!(next_page(other), None, "{other}");
        }
    }
}
