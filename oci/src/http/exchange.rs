//! One request and one answer, by the library that speaks HTTP.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::http::{self, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, SendBody};

use super::client::Options;
use super::{Body, Error, Request, Response, Secret, Url};

/// Bytes of a body that are sent or received with one call.
const BUFFER: usize = 128 << 10;

/// Connections to every host, by the proxy they go through.
pub(super) struct Exchanger {
    options: Options,
    tls: TlsConfig,
    agents: Mutex<Agents>,
}

#[derive(Default)]
struct Agents {
    by_proxy: HashMap<Option<String>, Agent>,
    closed: bool,
}

impl Exchanger {
    pub(super) fn new(options: Options) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(options.roots.certificates()))
            .unversioned_rustls_crypto_provider(provider)
            .build();
        Self {
            options,
            tls,
            agents: Mutex::default(),
        }
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Makes one request of one URL. Redirects are answers like any other.
    pub(super) fn exchange(
        &self,
        request: &Request<'_>,
        url: &Url,
        authorization: Option<&Secret>,
    ) -> Result<Response, Error> {
        let agent = self.agent(url)?;
        let message = message(request, url, authorization)?;
        let result = match request.body {
            Body::Empty => agent.run(message.map(|()| SendBody::none())),
            Body::Bytes(mut bytes) => {
                agent.run(message.map(|()| SendBody::from_reader(&mut bytes)))
            }
            Body::Stream { length, open } => {
                let mut body = open().map(|body| Exact::new(body, length));
                let unreadable = |source| Error::Source {
                    url: url.to_string(),
                    source,
                };
                let reader = body.as_mut().map_err(|error| unreadable(again(error)))?;
                if length == 0 {
                    reader.check_end().map_err(unreadable)?;
                }
                let result = agent.run(message.map(|()| SendBody::from_reader(reader)));
                if let Some(source) = body.ok().and_then(|body| body.failure) {
                    return Err(unreadable(source));
                }
                result
            }
        };
        let response = result.map_err(|error| self.explain(error, request, url))?;
        let (parts, body) = response.into_parts();
        Ok(Response {
            status: parts.status.as_u16(),
            headers: parts.headers,
            url: url.clone(),
            body: Box::new(body.into_with_config().limit(u64::MAX).reader()),
        })
    }

    /// Ends every exchange under way, on whatever thread, and refuses further ones.
    pub(super) fn close(&self) {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        agents.closed = true;
        for (_, agent) in agents.by_proxy.drain() {
            agent.shutdown();
        }
    }

    /// Tells whether [`close`](Self::close) was called.
    pub(super) fn is_closed(&self) -> bool {
        let agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        agents.closed
    }

    /// Returns the agent whose connections lead to an URL's origin.
    fn agent(&self, url: &Url) -> Result<Agent, Error> {
        let origin = url.origin();
        if origin.is_secure() && self.options.roots.is_empty() {
            return Err(Error::NoRoots {
                host: origin.host().to_owned(),
            });
        }
        let through = self.options.proxies.to(origin);
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if agents.closed {
            return Err(Error::Cancelled);
        }
        if let Some(agent) = agents.by_proxy.get(&through.map(str::to_owned)) {
            return Ok(agent.clone());
        }
        let proxy = match through {
            // What came of a variable may hold a password: it is not repeated.
            Some(text) => Some(ureq::Proxy::new(text).map_err(|_| Error::Proxy {
                host: origin.host().to_owned(),
            })?),
            None => None,
        };
        let agent = self.configure(proxy);
        let key = through.map(str::to_owned);
        agents.by_proxy.insert(key, agent.clone());
        Ok(agent)
    }

    fn configure(&self, proxy: Option<ureq::Proxy>) -> Agent {
        let Options {
            connect,
            idle,
            user_agent,
            ..
        } = &self.options;
        Agent::config_builder()
            .proxy(proxy)
            .tls_config(self.tls.clone())
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(*connect))
            .timeout_connect(Some(*connect))
            .timeout_per_read(Some(*idle))
            .timeout_per_write(Some(*idle))
            .timeout_recv_response(Some(*idle))
            .input_buffer_size(BUFFER)
            .output_buffer_size(BUFFER)
            .max_idle_connections_per_host(16)
            .max_idle_connections(32)
            .user_agent(user_agent)
            .build()
            .new_agent()
    }

    /// Tells what another attempt may mend from what it will not.
    fn explain(&self, error: ureq::Error, request: &Request<'_>, url: &Url) -> Error {
        let host = || url.origin().host().to_owned();
        let method = request.method.name();
        if self.is_closed() {
            return Error::Cancelled;
        }
        match error {
            ureq::Error::Timeout(what) => Error::TimedOut {
                method,
                url: url.to_string(),
                what: awaited(what).to_owned(),
                after: self.limit(what),
            },
            ureq::Error::Io(source) if is_about_tls(&source) => Error::Connect {
                host: host(),
                source: source.into(),
            },
            ureq::Error::Io(source) => Error::Exchange {
                method,
                url: url.to_string(),
                source,
            },
            ureq::Error::Protocol(_) | ureq::Error::ConnectionFailed => Error::Exchange {
                method,
                url: url.to_string(),
                source: io::Error::other(error),
            },
            error => Error::Connect {
                host: host(),
                source: error.into(),
            },
        }
    }

    fn limit(&self, what: ureq::Timeout) -> Duration {
        match what {
            ureq::Timeout::Resolve | ureq::Timeout::Connect => self.options.connect,
            _ => self.options.idle,
        }
    }
}

/// Tells whether an error is one of TLS: a certificate that is not trusted stays so.
fn is_about_tls(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(|inner| inner.is::<rustls::Error>())
}

/// Says what a time limit was for.
fn awaited(what: ureq::Timeout) -> &'static str {
    match what {
        ureq::Timeout::Resolve => "looking up the host's name",
        ureq::Timeout::Connect => "connecting",
        ureq::Timeout::RecvResponse => "the answer's headers",
        ureq::Timeout::PerWrite => "sending",
        _ => "receiving",
    }
}

/// Puts the head of a message together.
fn message(
    request: &Request<'_>,
    url: &Url,
    authorization: Option<&Secret>,
) -> Result<http::Request<()>, Error> {
    let mut builder = http::Request::builder()
        .method(request.method.name())
        .uri(url.whole());
    for (name, value) in &request.headers {
        builder = builder.header(*name, value);
    }
    if let Some(secret) = authorization {
        builder = builder.header(header::AUTHORIZATION, sensitive(secret, url)?);
    }
    if !request.method.is_read() {
        builder = builder.header(header::CONTENT_LENGTH, request.body.length());
    }
    builder.body(()).map_err(|_| Error::Url {
        url: url.to_string(),
        reason: "it, or a header for it, cannot be sent",
    })
}

fn sensitive(secret: &Secret, url: &Url) -> Result<http::HeaderValue, Error> {
    let value = http::HeaderValue::from_str(secret.reveal());
    let mut value = value.map_err(|_| Error::Url {
        url: url.to_string(),
        reason: "the credentials for it hold characters that cannot be sent",
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Gives so many bytes, and remembers why it could not.
struct Exact<'a> {
    inner: Box<dyn Read + 'a>,
    left: u64,
    failure: Option<io::Error>,
}

impl<'a> Exact<'a> {
    fn new(inner: Box<dyn Read + 'a>, length: u64) -> Self {
        Self {
            inner,
            left: length,
            failure: None,
        }
    }

    /// Looks behind the last byte, where a verified reader passes its judgement.
    fn check_end(&mut self) -> io::Result<()> {
        match self.inner.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(io::Error::other("it goes on behind its end")),
        }
    }

    fn fail(&mut self, error: io::Error) -> io::Error {
        let told = again(&error);
        self.failure = Some(error);
        told
    }
}

impl Read for Exact<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let Some(window) = buffer.get_mut(..most).filter(|window| !window.is_empty()) else {
            return Ok(0);
        };
        match self.inner.read(window) {
            Ok(0) => {
                let error = io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("it ends {} bytes before its end", self.left),
                );
                Err(self.fail(error))
            }
            Ok(count) => {
                let read = u64::try_from(count).unwrap_or(u64::MAX);
                self.left = self.left.saturating_sub(read);
                // The last bytes are sent when all is known to be right: until then nobody has the whole.
                if self.left == 0
                    && let Err(error) = self.check_end()
                {
                    return Err(self.fail(error));
                }
                Ok(count)
            }
            Err(error) => Err(self.fail(error)),
        }
    }
}

/// Repeats an error that has to be in two places.
fn again(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
