use hyper::Uri;
use hyper::http::uri::{Authority, Parts, PathAndQuery, Scheme};

/// Where a service is.
#[derive(Debug, Clone)]
pub(crate) struct Url {
    scheme: Scheme,
    authority: Authority,
    /// With the query of its own.
    path: PathAndQuery,
}

impl Url {
    /// Reads an `http` or `https` URL. What is wrong is said without the URL, which may have a key in its query.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("is not a URL: {error}"))?;
        let Parts { scheme: Some(scheme), authority: Some(authority), path_and_query, .. } = uri.into_parts() else {
            return Err("has to be a whole URL, such as http://moderation:8080/callback".to_owned());
        };
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err("has to begin with http:// or https://".to_owned());
        }
        if authority.as_str().contains('@') {
            return Err(
                "has a user or a password, which are not sent; a service knows chathook by its signature".to_owned()
            );
        }
        let (host, has_port) = (authority.host(), authority.as_str() != authority.host());
        if host.is_empty() || (has_port && authority.port_u16().is_none_or(|port| port == 0)) {
            return Err("has no host, or no port between 1 and 65535".to_owned());
        }
        if url.contains('#') {
            return Err("has a fragment, which is not sent".to_owned());
        }
        let path = path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        Ok(Self { scheme, authority, path })
    }

    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    /// The URL with `query` after its own, byte for byte.
    pub(crate) fn with(&self, query: &str) -> Result<Uri, NoUrl> {
        let own = self.path.as_str();
        let path = match (query, own.rsplit_once('?')) {
            ("", _) => self.path.clone(),
            (_, None) => joined(own, "?", query)?,
            (_, Some((_, ""))) => joined(own, "", query)?,
            (_, Some(_)) => joined(own, "&", query)?,
        };
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).map_err(|_| NoUrl)
    }
}

/// The URL and a query make no URL together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", Self::WHY)]
pub(crate) struct NoUrl;

impl NoUrl {
    pub(crate) const WHY: &str =
        "its URL and the query of the callback make no URL: they are too long together, or have what a URL cannot have";
}

fn joined(own: &str, between: &str, query: &str) -> Result<PathAndQuery, NoUrl> {
    PathAndQuery::from_maybe_shared([own, between, query].concat()).map_err(|_| NoUrl)
}

#[cfg(test)]
mod tests {
    use super::{NoUrl, Url};

    #[test]
    fn the_query_of_the_callback_follows_that_of_the_url() {
        for (url, query, whole) in [
            ("http://a", "", "http://a/"),
            ("http://a", "x=1", "http://a/?x=1"),
            ("http://a:8080/hook", "x=1&y", "http://a:8080/hook?x=1&y"),
            ("http://a/hook?", "x=1", "http://a/hook?x=1"),
            ("http://a/hook?key=%2F", "x=1", "http://a/hook?key=%2F&x=1"),
            ("https://[::1]:8443/hook?key=a?b", "x=?", "https://[::1]:8443/hook?key=a?b&x=?"),
            ("http://a/hook?key", "", "http://a/hook?key"),
            ("http://a/im%20chat/", "&=&%e4+~'(*)!|[]`{}\\^&", "http://a/im%20chat/?&=&%e4+~'(*)!|[]`{}\\^&"),
        ] {
            assert_eq!(Url::parse(url).unwrap().with(query).unwrap().to_string(), whole);
        }
    }

    #[test]
    fn what_does_not_fit_into_a_url_is_not_sent() {
        let url = Url::parse("http://a/").unwrap();
        assert_eq!(url.with("a b").unwrap_err(), NoUrl);
        assert_eq!(url.with(&"x".repeat(70_000)).unwrap_err(), NoUrl);
    }

    #[test]
    fn a_url_is_whole_and_has_nothing_that_would_be_left_out() {
        for url in [
            "/hook",
            "moderation:8080/hook",
            "ftp://a/",
            "unix:/run/a.sock",
            "http://",
            "http:///hook",
            "http://:80/",
            "http://a:/",
            "http://a:0/",
            "http://a:65536/",
            "http://a:b/",
            "http://u@a/",
            "http://u:p@a/",
            "http://a/#top",
            "http://a b/",
            "http://a/a b",
            "http://é/",
            "",
        ] {
            let problem = Url::parse(url).unwrap_err();
            assert!(!problem.contains("u:p"), "{problem}");
        }
    }
}
