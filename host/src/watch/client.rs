//! A client of the Kubernetes API, from what the directive says about where the API server is.

use crate::directives::{ClientTls, Source};
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster, NamedContext,
};
use kube::{Client, Config};
use std::path::Path;

/// Why there is no client. The message is one line and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not in a cluster.
    #[error(
        "this process does not run in a Kubernetes cluster ({0}); name one by 'kubeconfig FILE' or 'endpoint URL', or serve manifests by 'objects FILE...'"
    )]
    NotInCluster(String),
    /// The kubeconfig cannot be used.
    #[error("kubeconfig {file}: {problem}")]
    Kubeconfig {
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// `endpoint` or `tls` cannot be used.
    #[error("endpoint {url}: {problem}")]
    Endpoint {
        /// The URL.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// Manifests are no API server.
    #[error("manifests are served without an API server")]
    NoServer,
}

/// A client, and the URL of its server for messages.
#[derive(Clone)]
pub struct ApiClient {
    /// The client.
    pub client: Client,
    /// The URL.
    pub url: String,
}

impl ApiClient {
    /// Reads the configuration and builds the client. Nothing is sent yet. Needs a tokio runtime.
    ///
    /// # Errors
    /// A file that is missing or wrong, a URL that is none, credentials that cannot be used.
    pub async fn new(source: &Source) -> Result<Self, ClientError> {
        let mut config = match source {
            Source::InCluster => Config::incluster().map_err(|error| ClientError::NotInCluster(chain(&error)))?,
            Source::Kubeconfig { file, context } => from_kubeconfig(file, context.clone()).await?,
            Source::Endpoint { urls, tls } => {
                let url = urls.first().map_or("", String::as_str);
                from_endpoint(url, tls.as_ref()).await?
            }
            Source::Objects(_) => return Err(ClientError::NoServer),
        };
        // Waits and repeats are ours: kube's own would hide that the server is away.
        config.default_retry = false;
        let url = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|error| match source {
            Source::Kubeconfig { file, .. } => {
                ClientError::Kubeconfig { file: file.display().to_string(), problem: chain(&error) }
            }
            _ => ClientError::Endpoint { url: url.clone(), problem: chain(&error) },
        })?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned() })
    }
}

async fn from_kubeconfig(file: &Path, context: Option<String>) -> Result<Config, ClientError> {
    let failed = |error: kube::config::KubeconfigError| ClientError::Kubeconfig {
        file: file.display().to_string(),
        problem: chain(&error),
    };
    let kubeconfig = Kubeconfig::read_from(file).map_err(failed)?;
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(failed)
}

/// `endpoint URL` with `tls CERT KEY CACERT`, read as if it were a kubeconfig.
async fn from_endpoint(url: &str, tls: Option<&ClientTls>) -> Result<Config, ClientError> {
    const NAME: &str = "endpoint";
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let kubeconfig = Kubeconfig {
        clusters: vec![NamedCluster {
            name: NAME.to_owned(),
            cluster: Some(Cluster {
                server: Some(url.to_owned()),
                certificate_authority: tls.map(|tls| path(&tls.ca_cert)),
                ..Cluster::default()
            }),
            ..NamedCluster::default()
        }],
        auth_infos: vec![NamedAuthInfo {
            name: NAME.to_owned(),
            auth_info: Some(AuthInfo {
                client_certificate: tls.map(|tls| path(&tls.cert)),
                client_key: tls.map(|tls| path(&tls.key)),
                ..AuthInfo::default()
            }),
            ..NamedAuthInfo::default()
        }],
        contexts: vec![NamedContext {
            name: NAME.to_owned(),
            context: Some(Context { cluster: NAME.to_owned(), user: Some(NAME.to_owned()), ..Context::default() }),
            ..NamedContext::default()
        }],
        current_context: Some(NAME.to_owned()),
        ..Kubeconfig::default()
    };
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| ClientError::Endpoint { url: url.to_owned(), problem: chain(&error) })
}

/// An error with all its causes, on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    // Some errors of libraries contain themselves; ten causes tell enough.
    const MOST: usize = 10;
    let mut text = error.to_string();
    let mut next = error.source();
    for _ in 0..MOST {
        let Some(cause) = next else { break };
        let cause_text = cause.to_string();
        // Many errors already say what caused them.
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn problem(source: Source) -> String {
        match ApiClient::new(&source).await {
            Ok(_) => panic!("accepted"),
            Err(error) => error.to_string(),
        }
    }

    #[tokio::test]
    async fn problems_say_what_to_do() {
        let missing = Source::Kubeconfig { file: "no/such/file".into(), context: None };
        let text = problem(missing).await;
        assert!(text.starts_with("kubeconfig no/such/file: "), "{text}");
        assert!(text.contains("No such file"), "{text}");
        let bad = Source::Endpoint { urls: vec!["http://[".to_owned()], tls: None };
        assert!(problem(bad).await.starts_with("endpoint http://[: "));
        let tls = ClientTls { cert: "no/cert".into(), key: "no/key".into(), ca_cert: "no/ca".into() };
        let text = problem(Source::Endpoint { urls: vec!["https://127.0.0.1:1".to_owned()], tls: Some(tls) }).await;
        assert!(text.contains("no/"), "{text}");
    }

    #[tokio::test]
    async fn an_endpoint_is_enough() {
        let source = Source::Endpoint { urls: vec!["http://127.0.0.1:8001".to_owned()], tls: None };
        assert_eq!(ApiClient::new(&source).await.unwrap().url, "http://127.0.0.1:8001");
    }
}
