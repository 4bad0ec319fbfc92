//! Requests that the platform makes to providers and applications: with limits of time and size, never inside a
//! transaction, and never to where an address typed by an administrator must not lead.
//!
//! HTTPS only, except to this machine itself for trials and tests. Redirects are not followed. Names are resolved here
//! and addresses that belong to no server (link-local with its cloud metadata, multicast, unspecified, and this machine
//! unless the address says so openly) are refused after resolution, so that a name cannot lead there either. Private
//! networks are allowed: hospitals' providers live in the health intranet.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use kernel::{Error, Refusal, RefusalKind, Result};
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, config::Config};

/// A request takes no longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// No more is read of an answer.
const MOST: u64 = 256 * 1024;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Whether an address belongs to a server that may be asked.
pub fn reachable(address: IpAddr, loopback: bool) -> bool {
    let address = address.to_canonical();
    if address.is_loopback() {
        return loopback;
    }
    let refused = match address {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast() || v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    !(refused || address.is_unspecified() || address.is_multicast())
}

#[derive(Debug)]
struct Careful {
    loopback: bool,
    inner: DefaultResolver,
}

impl Resolver for Careful {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> std::result::Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut kept = self.empty();
        for address in found.iter().filter(|a: &&SocketAddr| reachable(a.ip(), self.loopback)) {
            kept.push(*address);
        }
        if kept.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(kept) }
    }
}

/// Whether an address may be asked at all; whether it names this machine.
fn examine(address: &str) -> Result<bool, Refusal> {
    let refuse =
        || Refusal::invalid("outbound.address", format!("地址“{address}”不能使用：须是完整的 https 地址。"));
    let uri: Uri = address.parse().map_err(|_| refuse())?;
    let host = uri.host().ok_or_else(refuse)?;
    let loopback = host == "localhost"
        || host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(loopback),
        Some("http") if loopback => Ok(true),
        _ => Err(refuse()),
    }
}

fn agent(loopback: bool, authority: &str) -> Result<Agent> {
    let mut tls = TlsConfig::builder();
    if !authority.trim().is_empty() {
        let certificate = Certificate::from_pem(authority.as_bytes())
            .map_err(|error| Error::fault("read the authority of a partner", error.to_string()))?;
        tls = tls.root_certs(RootCerts::new_with_certs(&[certificate]));
    }
    let config = Config::builder()
        .timeout_global(Some(PATIENCE))
        .max_redirects(0)
        .http_status_as_error(false)
        .proxy(None)
        .tls_config(tls.build())
        .user_agent("minkang")
        .build();
    let resolver = Careful { loopback, inner: DefaultResolver::default() };
    Ok(Agent::with_parts(config, DefaultConnector::new(), resolver))
}

/// A failure of the other side, as the user sees it; the cause is logged.
fn failed(address: &str, cause: &dyn std::fmt::Display) -> Error {
    tracing::warn!(address, %cause, "a request to another system failed");
    Refusal::new(
        RefusalKind::Unavailable,
        "outbound.failed",
        "对方系统暂时没有应答，这一步没有完成。请稍后再试；若持续如此，请联系对方系统的管理员。",
    )
    .into()
}

async fn ask(
    address: &str,
    authority: &str,
    send: impl FnOnce(&Agent, &str) -> std::result::Result<ureq::http::Response<ureq::Body>, ureq::Error>
    + Send
    + 'static,
) -> Result<Answer> {
    let loopback = examine(address)?;
    let agent = agent(loopback, authority)?;
    let to = address.to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        let mut response = send(&agent, &to)?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(MOST).read_to_vec()?;
        Ok::<_, ureq::Error>(Answer { status, body })
    })
    .await
    .map_err(|error| Error::fault("wait for another system", error.to_string()))?;
    let answer = asked.map_err(|error| failed(address, &error))?;
    if !(200..300).contains(&answer.status) {
        let shown: String = String::from_utf8_lossy(&answer.body).chars().take(300).collect();
        return Err(failed(address, &format!("status {}: {shown}", answer.status)));
    }
    Ok(answer)
}

/// Asks for a JSON document. `authority`: PEM of who signs the server's certificate; empty: the public authorities.
pub async fn get_json(address: &str, authority: &str) -> Result<serde_json::Value> {
    let answer =
        ask(address, authority, |agent, to| agent.get(to).header("accept", "application/json").call())
            .await?;
    serde_json::from_slice(&answer.body).map_err(|error| failed(address, &error))
}

/// Sends a form, with a name and password for HTTP Basic if the other side wants them.
pub async fn post_form(
    address: &str,
    fields: &[(&str, &str)],
    basic: Option<(&str, &str)>,
    authority: &str,
) -> Result<Answer> {
    use base64::Engine;
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let basic = basic.map(|(name, password)| {
        let part = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = format!("{}:{}", part(name), part(password));
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    });
    ask(address, authority, move |agent, to| {
        let mut request = agent
            .post(to)
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded");
        if let Some(basic) = &basic {
            request = request.header("authorization", basic);
        }
        request.send(form.as_bytes())
    })
    .await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn where_the_platform_does_not_go() {
        for (address, good) in [
            ("10.2.3.4", true),
            ("192.168.1.1", true),
            ("203.0.113.9", true),
            ("169.254.169.254", false),
            ("::ffff:169.254.169.254", false),
            ("fe80::1", false),
            ("0.0.0.0", false),
            ("0.1.2.3", false),
            ("::", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("127.0.0.1", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
        ] {
            assert_eq!(reachable(address.parse().unwrap(), false), good, "{address}");
        }
        assert!(reachable("127.0.0.1".parse().unwrap(), true));
    }

    #[test]
    fn only_https_except_on_this_machine() {
        for (address, found) in [
            ("https://sso.hospital.cn/token", Some(false)),
            ("https://127.0.0.1:8443/token", Some(true)),
            ("http://localhost:9/token", Some(true)),
            ("http://sso.hospital.cn/token", None),
            ("file:///etc/passwd", None),
            ("gopher://127.0.0.1/", None),
            ("//sso.hospital.cn", None),
            ("", None),
        ] {
            assert_eq!(examine(address).ok(), found, "{address}");
        }
    }
}
