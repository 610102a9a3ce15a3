//! Which `Authorization` a request gets, renewed when it is refused.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::challenge::Challenge;
use super::refusal::{Asked, refusal};
use super::token::{self, Ask, Token};
use super::{Credentials, Endpoint, Error, Keychain};
use crate::http::{Client, Method, Request, Response, Secret, Url};

/// What requests of one kind may do, as token services spell it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Scope(pub(super) Vec<String>);

impl Scope {
    pub(super) fn pull(repository: &str) -> Self {
        Self(vec![format!("repository:{repository}:pull")])
    }

    pub(super) fn push(repository: &str) -> Self {
        Self(vec![format!("repository:{repository}:pull,push")])
    }

    pub(super) fn delete(repository: &str) -> Self {
        Self(vec![format!("repository:{repository}:delete,pull")])
    }

    /// Allows to read another repository of the registry as well.
    pub(super) fn and_pull(mut self, repository: &str) -> Self {
        self.0.push(format!("repository:{repository}:pull"));
        self
    }

    /// Allows nothing but to be known.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }
}

/// Shows credentials to one registry, and to no other.
#[derive(Debug)]
pub(super) struct Authority {
    client: Arc<Client>,
    endpoint: Endpoint,
    repository: String,
    keychain: Arc<dyn Keychain>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    credentials: Option<Credentials>,
    /// What the registry wanted to see when it was asked first.
    challenge: Option<Challenge>,
    tokens: BTreeMap<Scope, Token>,
}

impl Authority {
    pub(super) fn new(
        client: Arc<Client>,
        endpoint: Endpoint,
        repository: &str,
        keychain: Arc<dyn Keychain>,
    ) -> Self {
        Self {
            client,
            endpoint,
            repository: repository.to_owned(),
            keychain,
            state: Mutex::default(),
        }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Makes a request in the name of the user. One to another origin than the registry's own (where
    /// an upload's `Location` may lead) is made in the name of nobody.
    pub(super) fn send(&self, request: &Request<'_>, scope: &Scope) -> Result<Response, Error> {
        if request.url().origin() != self.endpoint.base().origin() {
            return Ok(self.client.send(request)?);
        }
        let shown = self.authorization(scope)?;
        let response = self
            .client
            .send(&request.clone().authorization(shown.clone()))?;
        if response.status() != 401 {
            return Ok(response);
        }
        let Some(challenge) = Challenge::choose(response.headers("www-authenticate")) else {
            return Ok(response);
        };
        match self.answer(challenge, scope, shown.as_ref())? {
            Some(renewed) => Ok(self
                .client
                .send(&request.clone().authorization(Some(renewed)))?),
            None => Ok(response),
        }
    }

    /// Makes an error of an answer that is none of those hoped for.
    pub(super) fn refusal(&self, method: Method, response: Response) -> Error {
        let known = |credentials: &Credentials| credentials.are_known();
        let asked = Asked {
            host: self.endpoint.host(),
            repository: &self.repository,
            known: self.lock().credentials.as_ref().is_some_and(known),
        };
        refusal(method, &asked, response)
    }

    /// Returns what is shown without being asked: what the registry wanted the last time.
    fn authorization(&self, scope: &Scope) -> Result<Option<Secret>, Error> {
        let mut state = self.lock();
        let credentials = self.known(&mut state)?;
        if let Credentials::Bearer(token) = &credentials {
            return Ok(Some(Secret::new(format!("Bearer {}", token.reveal()))));
        }
        match state.challenge.clone() {
            Some(challenge) => self.respond(&mut state, &challenge, scope, &credentials),
            None => Ok(None),
        }
    }

    /// Returns what to show after a refusal; none where it would be the same again.
    fn answer(
        &self,
        challenge: Challenge,
        scope: &Scope,
        shown: Option<&Secret>,
    ) -> Result<Option<Secret>, Error> {
        let mut state = self.lock();
        let credentials = self.known(&mut state)?;
        if matches!(credentials, Credentials::Bearer(_)) {
            return Ok(None);
        }
        // Another thread may have renewed it meanwhile.
        let stale = |token: &Token| shown.is_some_and(|shown| *shown == token.value);
        if state.tokens.get(scope).is_some_and(stale) {
            state.tokens.remove(scope);
        }
        state.challenge = Some(challenge.clone());
        let response = self.respond(&mut state, &challenge, scope, &credentials)?;
        Ok(response.filter(|response| Some(response) != shown))
    }

    /// Returns what a challenge calls for: a token that is good for some time yet, or a password.
    fn respond(
        &self,
        state: &mut State,
        challenge: &Challenge,
        scope: &Scope,
        credentials: &Credentials,
    ) -> Result<Option<Secret>, Error> {
        let Challenge::Bearer {
            realm,
            service,
            scope: asked,
            ..
        } = challenge
        else {
            return Ok(match credentials {
                Credentials::Basic { username, password } => {
                    Some(Credentials::basic(username, password))
                }
                _ => None,
            });
        };
        let now = self.client.clock().now();
        if let Some(token) = state.tokens.get(scope).filter(|token| token.is_good(now)) {
            return Ok(Some(token.value.clone()));
        }
        let mut scopes = scope.0.clone();
        // What is ours says more than what one request called for; what is not ours is unknown.
        if let (true, Some(asked)) = (scopes.is_empty(), asked) {
            scopes.push(asked.clone());
        }
        let ask = Ask {
            realm: self.realm(realm)?,
            service: service.as_deref(),
            scopes: &scopes,
            host: self.endpoint.host(),
        };
        let token = token::fetch(&self.client, &ask, credentials)?;
        let value = token.value.clone();
        state.tokens.insert(scope.clone(), token);
        Ok(Some(value))
    }

    /// Reads the URL of a token service, which must be as safe as the registry is.
    fn realm(&self, realm: &str) -> Result<Url, Error> {
        let base = self.endpoint.base();
        let url = base.join(realm)?;
        match base.origin().is_secure() && !url.origin().is_secure() {
            true => Err(Error::Protocol {
                url: base.to_string(),
                reason: format!("its token service {url} speaks plain HTTP"),
            }),
            false => Ok(url),
        }
    }

    fn known(&self, state: &mut State) -> Result<Credentials, Error> {
        if let Some(credentials) = &state.credentials {
            return Ok(credentials.clone());
        }
        let credentials = self
            .keychain
            .credentials(self.endpoint.host(), &self.repository)?;
        state.credentials = Some(credentials.clone());
        Ok(credentials)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
