//! The token service: credentials in, a token for one purpose out
//! ([distribution, "Token Authentication"](https://distribution.github.io/distribution/spec/auth/token/)).

use serde::Deserialize;

use super::refusal::{Asked, refusal};
use super::{Credentials, Error};
use crate::http::{self, Body, Client, Method, Request, Response, Secret, Url};

/// The longest answer of a token service, in bytes.
const LIMIT: u64 = 1 << 20;
/// How long a token is good if nobody says, in seconds.
const DEFAULT_LIFE: u64 = 60;
/// How long before its end a token is renewed, in seconds: clocks differ, requests take time.
const MARGIN: u64 = 10;

/// A token and how long it is good.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// The value of `Authorization`.
    pub(super) value: Secret,
    /// When it is to be renewed, in seconds since 1970.
    until: u64,
}

impl Token {
    pub(super) fn is_good(&self, now: u64) -> bool {
        now < self.until
    }
}

/// What a service is asked.
pub(super) struct Ask<'a> {
    /// The service.
    pub(super) realm: Url,
    /// What it calls the registry.
    pub(super) service: Option<&'a str>,
    /// What the token shall allow.
    pub(super) scopes: &'a [String],
    /// The registry, as in references.
    pub(super) host: &'a str,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// Gets a token.
pub(super) fn fetch(
    client: &Client,
    ask: &Ask<'_>,
    credentials: &Credentials,
) -> Result<Token, Error> {
    let mut response = match credentials {
        Credentials::Identity(token) => exchange(client, ask, token)?,
        _ => request(client, ask, credentials)?,
    };
    if !response.is_success() {
        let asked = Asked {
            host: ask.host,
            repository: "a token",
            known: credentials.are_known(),
        };
        return Err(refusal(Method::Get, &asked, response));
    }
    let bytes = response.bytes(LIMIT)?;
    let protocol = |reason: &str| Error::Protocol {
        url: ask.realm.to_string(),
        reason: reason.to_owned(),
    };
    // What serde_json complains of may hold the token: it is not repeated.
    let answer: Answer = serde_json::from_slice(&bytes)
        .map_err(|_| protocol("its answer is no JSON object with a token"))?;
    let token = answer
        .token
        .or(answer.access_token)
        .filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| protocol("its answer has no token"))?;
    let life = answer.expires_in.unwrap_or(DEFAULT_LIFE).max(DEFAULT_LIFE);
    Ok(Token {
        value: Secret::new(format!("Bearer {token}")),
        until: client
            .clock()
            .now()
            .saturating_add(life)
            .saturating_sub(MARGIN),
    })
}

/// Asks with name and password, or as nobody.
fn request(
    client: &Client,
    ask: &Ask<'_>,
    credentials: &Credentials,
) -> Result<Response, http::Error> {
    let mut url = ask.realm.clone();
    if let Some(service) = ask.service {
        url = url.with_parameter("service", service);
    }
    for scope in ask.scopes {
        url = url.with_parameter("scope", scope);
    }
    let mut authorization = None;
    if let Credentials::Basic { username, password } = credentials {
        url = url.with_parameter("account", username);
        authorization = Some(Credentials::basic(username, password));
    }
    client.send(&Request::new(Method::Get, url).authorization(authorization))
}

/// Exchanges an identity token, as OAuth2's refresh token.
fn exchange(client: &Client, ask: &Ask<'_>, token: &Secret) -> Result<Response, http::Error> {
    let scopes = ask.scopes.join(" ");
    // A form has the grammar of a query.
    let form = [
        ("grant_type", "refresh_token"),
        ("service", ask.service.unwrap_or_default()),
        ("client_id", "forger"),
        ("scope", scopes.as_str()),
        ("refresh_token", token.reveal()),
    ];
    let form: Vec<String> = form
        .iter()
        .map(|(name, value)| format!("{name}={}", http::percent_encoded(value)))
        .collect();
    let form = form.join("&");
    let request = Request::new(Method::Post, ask.realm.clone())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::Bytes(form.as_bytes()));
    client.send(&request)
}
