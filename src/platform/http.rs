//! HTTP as remotes need it: one request, a body that comes in pieces. `fetch` and wasi:http fit behind it.

use std::{
    any::Any,
    net::{Ipv4Addr, Ipv6Addr},
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::remote::Failure;

/// How a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
}

impl Method {
    /// As it is written in a request.
    pub const fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The whole URL, escaped as it is to be sent.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent with a POST or a PUT.
    pub body: Option<Bytes>,
}

impl Request {
    /// The same, as a redirect has it made elsewhere. What proves who asks is for whom it was given to.
    pub fn redirected(mut self, to: String) -> Self {
        if origin(&to) != origin(&self.url) {
            self.headers.retain(|(name, _)| *name != "authorization");
        }
        self.url = to;
        self
    }
}

/// A response, its body still to come. Dropping it ends the exchange.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Box<dyn Body>,
}

impl Response {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Bytes as they arrive.
#[async_trait(?Send)]
pub trait Body: Any {
    /// The next bytes; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure>;
}

/// Sends requests.
#[async_trait(?Send)]
pub trait Http {
    /// Sends one, and returns when the head of the response is there. Redirects within HTTP(S) are followed, but not inward
    /// ([`leads_inward`]) where they can be seen.
    async fn send(&self, request: Request) -> Result<Response, Failure>;
}

/// Scheme and authority of a URL.
pub(crate) fn origin(url: &str) -> &str {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let end = rest.find(['/', '?', '#']).map_or(url.len(), |at| scheme.len() + 3 + at);
    url.get(..end).unwrap_or_default()
}

/// Whether one URL must not lead to another: who is outside does not choose whom we ask on this machine and in its network.
pub fn leads_inward(from: &str, to: &str) -> bool {
    is_local(to) && !is_local(from)
}

/// Whether a URL names this machine, or its own network. What a name of the open network stands for is not known here.
pub(crate) fn is_local(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if let Some(bracketed) = host.strip_prefix('[') {
        let address = bracketed.split(']').next().unwrap_or_default().parse::<Ipv6Addr>();
        return address.map_or(true, |address| match address.to_ipv4() {
            Some(inner) => is_local_v4(inner),
            None => address.is_unique_local() || address.is_unicast_link_local(),
        });
    }
    let name = host.split(':').next().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    if let Ok(address) = name.parse() {
        return is_local_v4(address);
    }
    match name.rsplit_once('.') {
        _ if name.contains('%') => true,
        // Such a name is looked up in the own network, or is an address written as one number.
        None => true,
        // There are other ways to write an address, `127.1` or `0x7f.0.0.1`, and no reason to.
        Some((_, last)) => {
            matches!(last, "localhost" | "local" | "internal") || last.starts_with(|c: char| c.is_ascii_digit())
        }
    }
}

fn is_local_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    let shared_by_a_provider = first == 100 && second & 0xc0 == 64;
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || first == 0
        || shared_by_a_provider
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proves_who_asks_does_not_go_along_to_another_origin() {
        let from = "https://a.example/pins";
        let headers = vec![("accept", "text/plain".to_owned()), ("authorization", "Bearer secret".to_owned())];
        let request = Request { method: Method::Get, url: from.into(), headers, body: None };
        for to in ["https://a.example/", "https://a.example?a=/b", "https://a.example"] {
            let onward = request.clone().redirected(to.into());
            assert_eq!(onward, Request { url: to.into(), ..request.clone() });
        }
        let elsewhere = [
            "https://b.example/pins",
            "https://a.example:8443/pins",
            "https://a.example.b.example/pins",
            "https://a.example@b.example/pins",
            "http://a.example/pins",
        ];
        for to in elsewhere {
            let onward = request.clone().redirected(to.into());
            assert_eq!(onward.url, to);
            assert_eq!(onward.headers, [("accept", "text/plain".to_owned())], "{to}");
        }
    }

    #[test]
    fn addresses_within_are_told_from_those_outside() {
        let within = [
            "http://127.0.0.1:8080",
            "http://127.255.255.254",
            "http://0.0.0.0:1",
            "http://10.1.2.3/path",
            "http://172.16.0.1",
            "http://172.31.255.255",
            "https://192.168.1.1?x",
            "http://169.254.169.254/latest",
            "http://100.64.0.1",
            "http://255.255.255.255",
            "http://[::1]:8080/ipfs",
            "http://[::]",
            "http://[fe80::1]",
            "http://[fd00::1]:80",
            "http://[::ffff:127.0.0.1]",
            "http://[::ffff:c0a8:101]",
            "http://[::10.0.0.1]",
            "http://[fe80::1%25eth0]",
            "http://localhost",
            "http://LocalHost.:80",
            "http://gateway.localhost",
            "https://nas.local/",
            "https://metadata.google.INTERNAL",
            "http://router",
            "http://user:word@127.0.0.1",
            "http://example.org@10.0.0.1/",
            "http://127.1",
            "http://0x7f.0.0.1",
            "http://127.0.0.0x1",
            "http://127.0.0.01",
            "http://2130706433",
            "http://%31%32%37.0.0.%31",
            "http://",
        ];
        let outside = [
            "https://example.org",
            "http://example.org:8080/localhost",
            "https://local.example.org",
            "https://10.0.0.1.example.org",
            "http://1.2.3.4",
            "http://172.32.0.1",
            "http://192.169.0.1",
            "http://100.128.0.1",
            "http://127.0.0.1@example.org",
            "http://[2606:4700::1111]:80",
            "http://[::ffff:1.2.3.4]",
        ];
        for url in within {
            assert!(is_local(url) && leads_inward("https://example.org", url), "{url}");
            assert!(!leads_inward("http://[::1]:5001", url) && !leads_inward(url, "https://example.org"), "{url}");
        }
        for url in outside {
            assert!(!is_local(url) && !leads_inward("http://127.0.0.1", url), "{url}");
        }
    }
}
